// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** An echo device behind the transport, and a driver for each of its queues. */
final class Bench implements AutoCloseable {
  static final Duration DEADLINE = Duration.ofSeconds(60);

  final EchoDevice device;
  final InProcessTransport transport;
  final Recorder recorder = new Recorder();
  final List<EchoDriver> drivers = new ArrayList<>();
  final List<DriverQueue> queues = new ArrayList<>();
  private final QueueOwner deviceOwner;
  private final QueueOwner owner;

  /** Both sides on the calling thread, one queue. */
  static Bench inline(InProcessOptions options) {
    InlineOwner owner = new InlineOwner();
    return new Bench(1, owner, owner, options);
  }

  /** The usual options, with rings of one format only. */
  static InProcessOptions options(RingFormat format) {
    return InProcessOptions.defaults().withRingFeatures(format.applyTo(DeviceHost.ringFeatures()));
  }

  Bench(int queues, QueueOwner deviceOwner, QueueOwner owner, InProcessOptions options) {
    this.deviceOwner = deviceOwner;
    this.owner = owner;
    device = new EchoDevice(queues);
    transport = new InProcessTransport(device, deviceOwner, options);
    transport.setListener(recorder);
  }

  /** From status 0 to a live device, with everything accepted that can be. */
  Bench start(int depth) throws IOException {
    return start(depth, transport.deviceFeatures().without(EchoDevice.REFUSED_FEATURE));
  }

  Bench start(int depth, FeatureBits accepted) throws IOException {
    EchoDriver.negotiate(transport, accepted);
    drivers.clear();
    queues.clear();
    for (int i = 0; i < transport.queueCount(); i++) {
      drivers.add(new EchoDriver(transport, depth));
    }
    queues.addAll(transport.findQueues(drivers.stream().map(d -> d.request(owner)).toList()));
    EchoDriver.driverOk(transport);
    return this;
  }

  EchoDriver driver() {
    return drivers.getFirst();
  }

  DriverQueue queue() {
    return queues.getFirst();
  }

  QueueOwner deviceOwner() {
    return deviceOwner;
  }

  QueueOwner owner() {
    return owner;
  }

  /** Runs on the owner of the driver's side, and waits for it. */
  void onOwner(Runnable task) throws IOException {
    DriverQueueSet.onOwner(owner, task);
  }

  void send(long count) throws IOException {
    for (int i = 0; i < queues.size(); i++) {
      DriverQueue queue = queues.get(i);
      EchoDriver driver = drivers.get(i);
      onOwner(() -> driver.send(queue, count));
    }
  }

  /** Every buffer comes back, each with what was in it. */
  void sendAndAwait(long count) throws IOException {
    send(count);
    awaitAll();
  }

  void awaitAll() {
    until("all buffers back", () -> drivers.stream().allMatch(EchoDriver::isDone));
    for (EchoDriver driver : drivers) {
      assertNull(driver.mismatch);
      assertNull(driver.broken);
    }
    assertEquals(0, transport.host().faults());
  }

  /** Works, or waits for those who do. */
  void until(String what, BooleanSupplier condition) {
    await(what + ", completed " + completed(), owner, condition);
  }

  /** As {@link #until}, without a bench. */
  static void await(String what, QueueOwner owner, BooleanSupplier condition) {
    long start = System.nanoTime();
    while (!condition.getAsBoolean()) {
      if (owner instanceof InlineOwner inline) {
        inline.runUntilIdle();
      } else {
        LockSupport.parkNanos(100_000);
      }
      if (System.nanoTime() - start > DEADLINE.toNanos()) {
        throw new AssertionError("never: " + what);
      }
    }
  }

  private List<Long> completed() {
    return drivers.isEmpty()
        ? Collections.emptyList()
        : drivers.stream().map(d -> d.completed).toList();
  }

  @Override
  public void close() {
    transport.close();
    transport.deleteQueues();
  }
}
