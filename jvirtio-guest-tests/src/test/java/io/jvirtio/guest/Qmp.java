// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** The monitor of a QEMU or a qemu-storage-daemon. */
final class Qmp {
  private static final int DEADLINE_SECONDS = 30;

  private Qmp() {}

  /** Executes commands without arguments, one after another; fails unless each succeeds. */
  static void execute(Path monitor, String... names) throws Exception {
    String[] lines = new String[names.length];
    for (int i = 0; i < names.length; i++) {
      lines[i] = "{\"execute\":\"" + names[i] + "\"}";
    }
    send(monitor, lines);
  }

  /** Sends commands in JSON, one after another; fails unless each succeeds. */
  static void send(Path monitor, String... commands) throws Exception {
    try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
      channel.connect(UnixDomainSocketAddress.of(monitor));
      CompletableFuture.runAsync(() -> converse(channel, commands))
          .get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    }
  }

  private static void converse(SocketChannel channel, String... commands) {
    try {
      BufferedReader lines =
          new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8));
      String greeting = lines.readLine();
      command(channel, lines, "{\"execute\":\"qmp_capabilities\"}", greeting);
      for (String line : commands) {
        command(channel, lines, line, greeting);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void command(
      SocketChannel channel, BufferedReader lines, String line, String greeting)
      throws IOException {
    channel.write(ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8)));
    String answer = lines.readLine();
    while (answer != null && answer.contains("\"event\"")) {
      answer = lines.readLine();
    }
    if (answer == null || !answer.contains("\"return\"")) {
      throw new AssertionError(line + ": " + greeting + " " + answer);
    }
  }
}
