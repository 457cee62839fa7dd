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

/** A qemu-storage-daemon that exports an image as a vhost-user block device. */
final class StorageDaemon implements AutoCloseable {
  private static final int DEADLINE_SECONDS = 30;

  /** The two that the tests run. */
  enum Version {
    /** The host's own. */
    HOST,

    /** That of the lab's Debian 13, from its backports. */
    LAB;

    private String program() {
      return this == HOST
          ? "qemu-storage-daemon"
          : Lab.path("BIN").resolve("qemu-storage-daemon").toString();
    }
  }

  private final Path socket;
  private final Path monitor;
  private final Peer peer;

  /**
   * Starts it and waits until it listens.
   *
   * @param folder for its files
   * @param image what it exports; a range that is discarded becomes a hole
   * @param socket where
   * @param export more properties of the export, such as "num-queues=4"
   */
  StorageDaemon(Version version, Path folder, Path image, Path socket, String... export)
      throws IOException, InterruptedException {
    this.socket = socket;
    this.monitor = folder.resolve(socket.getFileName() + ".qmp");
    Path ready = folder.resolve(socket.getFileName() + ".pid");
    StringBuilder properties = new StringBuilder("type=vhost-user-blk,id=e,node-name=d");
    properties.append(",addr.type=unix,addr.path=").append(socket);
    for (String property : export) {
      properties.append(',').append(property);
    }
    this.peer =
        Peer.start(
            folder,
            ready,
            version.program(),
            "--chardev",
            "socket,id=m,server=on,wait=off,path=" + monitor,
            "--monitor",
            "chardev=m",
            "--blockdev",
            "driver=file,node-name=d,discard=unmap,filename=" + image,
            "--export",
            properties.toString(),
            "--pidfile",
            ready.toString());
  }

  /** Where it listens. */
  Path socket() {
    return socket;
  }

  /** The process. */
  Peer peer() {
    return peer;
  }

  /** Changes the size of the image, and tells the front-end. */
  void resize(long bytes) throws Exception {
    qmp(
        "{\"execute\":\"block_resize\",\"arguments\":{\"node-name\":\"d\",\"size\":"
            + bytes
            + "}}");
  }

  private void qmp(String command) throws Exception {
    try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
      channel.connect(UnixDomainSocketAddress.of(monitor));
      CompletableFuture.runAsync(() -> converse(channel, command))
          .get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    }
  }

  private void converse(SocketChannel channel, String command) {
    try {
      BufferedReader lines =
          new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8));
      String greeting = lines.readLine();
      for (String line : new String[] {"{\"execute\":\"qmp_capabilities\"}", command}) {
        channel.write(ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8)));
        String answer = lines.readLine();
        while (answer != null && answer.contains("\"event\"")) {
          answer = lines.readLine();
        }
        if (answer == null || !answer.contains("\"return\"")) {
          throw new AssertionError(line + ": " + greeting + " " + answer + peer.output());
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    peer.close();
  }
}
