// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * A back-end that answers GET_FEATURES and otherwise does as told. It notes what it was asked, and
 * ends with the connection.
 */
final class ScriptedBackEnd implements AutoCloseable {
  static final int GET_FEATURES = 1;
  private static final int HEADER = 12;
  private static final int REPLY = 5;

  final Path path;
  final List<Integer> asked = new CopyOnWriteArrayList<>();
  private final ServerSocketChannel server;
  private final long features;
  private final int silentFrom;
  private final int closesAt;
  private final Thread thread;

  /**
   * Listens.
   *
   * @param silentFrom from which request on it does not answer, counted from 1; 0 for never
   * @param closesAt at which request it closes the connection; 0 for never
   */
  ScriptedBackEnd(Path path, long features, int silentFrom, int closesAt) throws IOException {
    this.path = path;
    this.features = features;
    this.silentFrom = silentFrom;
    this.closesAt = closesAt;
    server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    server.bind(UnixDomainSocketAddress.of(path));
    thread = Thread.ofPlatform().daemon().start(this::run);
  }

  private void run() {
    try (SocketChannel front = server.accept()) {
      ByteBuffer message = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);
      while (read(front, message.clear().limit(HEADER))) {
        int request = message.getInt(0);
        asked.add(request);
        read(front, message.clear().limit(message.getInt(8)));
        if (asked.size() == closesAt) {
          return;
        }
        boolean answers = silentFrom == 0 || asked.size() < silentFrom;
        if (answers && request == GET_FEATURES) {
          message.clear().putInt(request).putInt(REPLY).putInt(8).putLong(features).flip();
          front.write(message);
        }
      }
    } catch (IOException closed) {
      // The front-end has gone, or this was closed.
    }
  }

  private static boolean read(SocketChannel from, ByteBuffer whole) throws IOException {
    while (whole.hasRemaining()) {
      if (from.read(whole) < 0) {
        return false;
      }
    }
    return true;
  }

  @Override
  public void close() throws IOException {
    server.close();
    thread.interrupt();
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
