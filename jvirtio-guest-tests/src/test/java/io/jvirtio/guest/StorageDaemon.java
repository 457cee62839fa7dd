// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.nio.file.Path;

/** A qemu-storage-daemon that exports an image as a vhost-user block device. */
final class StorageDaemon implements AutoCloseable {
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
    Qmp.send(
        monitor,
        "{\"execute\":\"block_resize\",\"arguments\":{\"node-name\":\"d\",\"size\":"
            + bytes
            + "}}");
  }

  @Override
  public void close() {
    peer.close();
  }
}
