// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** A qtest server that answers as it is told. */
final class FakeQemu implements AutoCloseable {
  /** What a request is answered with: text with line feeds and all; null for nothing. */
  @FunctionalInterface
  interface Script {
    String answer(String request);
  }

  /** Long enough for a machine that is busy. */
  static final Duration DEADLINE = Duration.ofSeconds(30);

  private final ServerSocketChannel server;
  private final Path path;
  private final CompletableFuture<SocketChannel> client = new CompletableFuture<>();
  private final Thread thread;

  /** Answers the greeting as a little-endian machine does, the rest as the script says. */
  FakeQemu(Path folder, Script script) throws IOException {
    path = folder.resolve("q");
    server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    server.bind(UnixDomainSocketAddress.of(path));
    thread = Thread.ofPlatform().daemon().start(() -> serve(script));
  }

  private void serve(Script script) {
    try (SocketChannel channel = server.accept()) {
      client.complete(channel);
      BufferedReader lines =
          new BufferedReader(Channels.newReader(channel, StandardCharsets.US_ASCII));
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        String answer = script.answer(line);
        if (answer == null && line.equals("endianness")) {
          answer = "OK little\n";
        }
        if (answer != null) {
          send(answer);
        }
      }
    } catch (IOException e) {
      // The client has gone, or the test is over.
      client.completeExceptionally(e);
    }
  }

  /** Sends something that nobody asked for. */
  void send(String text) {
    try {
      ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.ISO_8859_1));
      synchronized (this) {
        client.join().write(bytes);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Ends the connection. */
  void hangUp() throws IOException {
    client.join().close();
  }

  Path path() {
    return path;
  }

  QtestSession connect() throws IOException {
    return QtestSession.connect(path, DEADLINE);
  }

  @Override
  public void close() throws IOException {
    server.close();
    if (client.isDone() && !client.isCompletedExceptionally()) {
      client.join().close();
    }
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
