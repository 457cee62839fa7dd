// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.drivers.blk.BlkDriverType;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;

/** Our block driver behind a socket of somebody else's device, on loops of its own. */
final class DrivenDisk implements AutoCloseable {
  /** So that a test of a silent peer need not wait long. */
  static final Duration REPLY_DEADLINE = Duration.ofSeconds(6);

  private static final int QUEUE_SIZE = 128;
  private static final int DEADLINE_SECONDS = 30;

  private final List<EventLoop> loops = new ArrayList<>();
  private final Queue<Throwable> faults = new ConcurrentLinkedQueue<>();
  private final BlkDriver driver;

  /** Drives it on one queue, with the defaults. */
  DrivenDisk(Path socket) throws IOException {
    this(socket, 1, UnaryOperator.identity(), DriverDevice.ringFeatures());
  }

  /**
   * Drives it.
   *
   * @param queues how many, each with a thread of its own
   * @param how changes the options
   * @param ringFeatures the reserved features that may be used
   */
  DrivenDisk(
      Path socket,
      int queues,
      UnaryOperator<BlkDriverOptions.Builder> how,
      FeatureBits ringFeatures)
      throws IOException {
    boolean done = false;
    try {
      driver = open(socket, options(queues, how), ringFeatures);
      done = true;
    } finally {
      if (!done) {
        loops.forEach(EventLoop::close);
      }
    }
  }

  private BlkDriverOptions options(int queues, UnaryOperator<BlkDriverOptions.Builder> how)
      throws IOException {
    for (int i = 0; i < queues; i++) {
      loops.add(
          EventLoop.start("disk queue " + i, LoopMode.EVENT, (source, fault) -> faults.add(fault)));
    }
    return how.apply(BlkDriverOptions.builder(loops.toArray(EventLoop[]::new))).build();
  }

  private static BlkDriver open(Path socket, BlkDriverOptions options, FeatureBits ringFeatures)
      throws IOException {
    DriverDevice device = new DriverDevice(connect(socket), ringFeatures);
    try {
      return (BlkDriver) device.start(new BlkDriverType(options));
    } catch (IOException | RuntimeException | Error e) {
      device.close();
      throw e;
    }
  }

  /** A transport to a block device. */
  static VhostUserTransport connect(Path socket) throws IOException {
    VhostUserFrontEndOptions options =
        VhostUserFrontEndOptions.defaults()
            .withReplyDeadline(REPLY_DEADLINE)
            .withMaxQueueSize(QUEUE_SIZE);
    return VhostUserTransport.connect(socket, DeviceType.BLOCK.id(), options);
  }

  /** The driver. */
  BlkDriver driver() {
    return driver;
  }

  /** Waits until the device is in a state. */
  void awaitState(DriverDevice.State state) throws InterruptedException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    while (driver.device().state() != state) {
      assertTrue(System.nanoTime() < deadline, () -> driver.device() + ", not " + state);
      Thread.sleep(2);
    }
  }

  /** Closes the driver, then its loops; fails when a loop has seen something thrown. */
  @Override
  public void close() {
    driver.close();
    loops.forEach(EventLoop::close);
    if (!faults.isEmpty()) {
      throw new AssertionError("on an owner", faults.peek());
    }
  }
}
