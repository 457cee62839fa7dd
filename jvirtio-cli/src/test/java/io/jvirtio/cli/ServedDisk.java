// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlockBackend;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Path;

/** Our block device on a socket, in this process. */
final class ServedDisk implements AutoCloseable {
  final Path path;
  private final BlockBackend backend;
  private final VhostUserServer server;
  private final UnixServerSocket socket;
  private final Thread thread;

  ServedDisk(Path path, BlockBackend backend, BlkOptions options) throws IOException {
    this.path = path;
    this.backend = backend;
    server = new VhostUserServer(new BlkDevice(backend, options), VhostUserOptions.defaults());
    socket = UnixServerSocket.bind(path, server.waker());
    thread = Thread.ofPlatform().start(this::serve);
  }

  ServedDisk(Path path, Path image) throws IOException {
    this(
        path,
        RawFileBackend.open(RawFileOptions.of(image)),
        BlkOptions.builder().queues(2).build());
  }

  private void serve() {
    try {
      server.serve(socket);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Makes a file that is one hole. */
  static Path sized(Path file, long bytes) throws IOException {
    try (RandomAccessFile content = new RandomAccessFile(file.toFile(), "rw")) {
      content.setLength(bytes);
    }
    return file;
  }

  @Override
  public void close() throws IOException {
    server.stop();
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    socket.close();
    server.close();
    backend.close();
  }
}
