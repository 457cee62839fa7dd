// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.device.DeviceHost;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.devices.blk.BlockBackend;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserStats;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;

/** A block device in this process, served at a socket until closed. */
final class ServedDisk implements AutoCloseable {
  /** What it can be told to offer: as by default, and VIRTIO_F_IN_ORDER. */
  static final FeatureBits WITH_IN_ORDER =
      DeviceHost.ringFeatures().with(ReservedFeatures.VIRTIO_F_IN_ORDER);

  private final BlockBackend backend;
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
    this(
        RawFileBackend.open(RawFileOptions.of(image).withReadOnly(options.readOnly())),
        socket,
        options,
        ringFeatures);
  }

  /** Serves any back end, which is closed with it. */
  ServedDisk(BlockBackend backend, Path socket, BlkOptions options, FeatureBits ringFeatures)
      throws IOException {
    this.socket = socket;
    this.backend = backend;
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

  /**
   * Fails unless the device has the ring's format and order that QEMU was told of, in options such
   * as "packed=on,in_order=on", and neither the guest nor the storage has done anything wrong.
   */
  void assertNegotiated(String qemuOptions) {
    FeatureBits negotiated = stats().negotiated();
    assertEquals(
        qemuOptions.contains("packed=on"), negotiated.has(ReservedFeatures.VIRTIO_F_RING_PACKED));
    assertEquals(
        qemuOptions.contains("in_order=on"), negotiated.has(ReservedFeatures.VIRTIO_F_IN_ORDER));
    assertEquals(0, stats().faults());
    assertEquals(0, stats().protocolFaults());
    assertEquals(0, device.stats().ioErrors());
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
