// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.device.DeviceHost;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserStats;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;

/** A block device in this process, served at a socket until closed. */
final class ServedDisk implements AutoCloseable {
  private final RawFileBackend backend;
  private final BlkDevice device;
  private final VhostUserServer server;
  private final UnixServerSocket listening;
  private final CompletableFuture<Void> served = new CompletableFuture<>();
  private final Path socket;
  private boolean closed;

  /** Serves an image with the given options. */
  ServedDisk(Path image, Path socket, BlkOptions options) throws IOException {
    this(image, socket, options, DeviceHost.ringFeatures());
  }

  /** Also says which features of the rings it offers. */
  ServedDisk(Path image, Path socket, BlkOptions options, FeatureBits ringFeatures)
      throws IOException {
    this.socket = socket;
    backend = RawFileBackend.open(RawFileOptions.of(image).withReadOnly(options.readOnly()));
    device = new BlkDevice(backend, options);
    server =
        new VhostUserServer(device, VhostUserOptions.defaults().withRingFeatures(ringFeatures));
    listening = UnixServerSocket.bind(socket, server.waker());
    Thread.ofPlatform().name("serve").start(this::serve);
  }

  private void serve() {
    try {
      server.serve(listening);
      served.complete(null);
    } catch (IOException | RuntimeException e) {
      served.completeExceptionally(e);
    }
  }

  /** Where QEMU connects. */
  Path socket() {
    return socket;
  }

  /** The device itself. */
  BlkDevice device() {
    return device;
  }

  /** What the session has done. */
  VhostUserStats stats() {
    return server.stats();
  }

  /** How many requests of a kind have ended. */
  long requests(BlkRequestType type) {
    return device.stats().requests(type);
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    server.stop();
    try {
      // Throws what serve() has thrown.
      served.join();
    } finally {
      server.close();
      listening.close();
      backend.close();
    }
  }
}
