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
import io.jvirtio.linux.SocketServer;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.vfio.VfioUserOptions;
import io.jvirtio.vfio.VfioUserServer;
import io.jvirtio.vfio.VfioUserStats;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserStats;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/** A block device in this process, served at a socket until closed. */
final class ServedDisk implements AutoCloseable {
  /** What it can be told to offer: as by default, and VIRTIO_F_IN_ORDER. */
  static final FeatureBits WITH_IN_ORDER =
      DeviceHost.ringFeatures().with(ReservedFeatures.VIRTIO_F_IN_ORDER);

  private final BlockBackend backend;
  private final BlkDevice device;
  private final Bus bus;
  private final SocketServer server;
  private final Supplier<Stats> stats;
  private final UnixServerSocket listening;
  private final CompletableFuture<Void> served = new CompletableFuture<>();
  private final Path socket;
  private boolean closed;

  /**
   * What the session has done.
   *
   * @param negotiated the features negotiated last
   * @param chains buffers taken
   * @param interrupts used buffer notifications
   * @param suppressed batches of used buffers that the driver wanted no notification for
   * @param faults times that the driver broke a rule
   * @param protocolFaults times that the other side was sent away for what it sent
   */
  record Stats(
      FeatureBits negotiated,
      long chains,
      long interrupts,
      long suppressed,
      long faults,
      long protocolFaults) {
    private static Stats of(VhostUserStats stats) {
      return new Stats(
          stats.negotiated(),
          stats.chains(),
          stats.notificationsSent(),
          stats.notificationsSuppressed(),
          stats.faults(),
          stats.protocolFaults());
    }

    private static Stats of(VfioUserStats stats) {
      return new Stats(
          stats.negotiated(),
          stats.chains(),
          stats.interrupts(),
          stats.notificationsSuppressed(),
          stats.faults(),
          stats.protocolFaults());
    }
  }

  /** Serves an image with the given options by vhost-user. */
  ServedDisk(Path image, Path socket, BlkOptions options) throws IOException {
    this(image, socket, options, Bus.VHOST_USER);
  }

  /** Serves it on any bus. */
  ServedDisk(Path image, Path socket, BlkOptions options, Bus bus) throws IOException {
    this(image, socket, options, DeviceHost.ringFeatures(), bus);
  }

  /** Also says which features of the rings it offers. */
  ServedDisk(Path image, Path socket, BlkOptions options, FeatureBits ringFeatures, Bus bus)
      throws IOException {
    this(
        RawFileBackend.open(RawFileOptions.of(image).withReadOnly(options.readOnly())),
        socket,
        options,
        ringFeatures,
        bus);
  }

  /** Serves any back end, which is closed with it. */
  ServedDisk(
      BlockBackend backend, Path socket, BlkOptions options, FeatureBits ringFeatures, Bus bus)
      throws IOException {
    this.socket = socket;
    this.backend = backend;
    this.bus = bus;
    device = new BlkDevice(backend, options);
    if (bus.isPci()) {
      VfioUserServer whole =
          new VfioUserServer(
              device, bus.options().withRingFeatures(ringFeatures), VfioUserOptions.defaults());
      server = whole;
      stats = () -> Stats.of(whole.stats());
    } else {
      VhostUserServer queues =
          new VhostUserServer(device, VhostUserOptions.defaults().withRingFeatures(ringFeatures));
      server = queues;
      stats = () -> Stats.of(queues.stats());
    }
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

  /** How it gets there. */
  Bus bus() {
    return bus;
  }

  /** The device itself. */
  BlkDevice device() {
    return device;
  }

  /** What the session has done. */
  Stats stats() {
    return stats.get();
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
