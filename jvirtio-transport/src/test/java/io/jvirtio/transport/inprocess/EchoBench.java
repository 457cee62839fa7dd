// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.transport.Recorder;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * An echo device, a driver for each of its queues, and what is tried with them whatever is between.
 */
abstract class EchoBench implements AutoCloseable {
  static final Duration DEADLINE = Duration.ofSeconds(60);

  final EchoDevice device;
  final Recorder recorder = new Recorder();
  final List<EchoDriver> drivers = new ArrayList<>();
  final List<DriverQueue> queues = new ArrayList<>();

  /** Of the driver's side. */
  final QueueOwner owner;

  EchoBench(EchoDevice device, QueueOwner owner) {
    this.device = device;
    this.owner = owner;
  }

  /** What the driver has. */
  abstract DriverTransport transport();

  /** What the device has. */
  abstract DeviceHost host();

  /** From status 0 to a live device, with everything accepted that can be. */
  abstract EchoBench start(int depth) throws IOException;

  /** From status 0 to a live device. */
  void start(int depth, FeatureBits accepted) throws IOException {
    EchoDriver.negotiate(transport(), accepted);
    drivers.clear();
    queues.clear();
    for (int i = 0; i < transport().queueCount(); i++) {
      drivers.add(new EchoDriver(transport(), depth));
    }
    queues.addAll(transport().findQueues(drivers.stream().map(d -> d.request(owner)).toList()));
    EchoDriver.driverOk(transport());
  }

  @Override
  public abstract void close();

  EchoDriver driver() {
    return drivers.getFirst();
  }

  DriverQueue queue() {
    return queues.getFirst();
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
    assertEquals(0, host().faults());
  }

  /** Works, or waits for those who do. */
  void until(String what, BooleanSupplier condition) {
    await(what + ", completed " + completed(), owner, condition);
  }

  private List<Long> completed() {
    return drivers.stream().map(d -> d.completed).toList();
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

  /** Resets with requests in flight, and goes on. */
  void resetInFlight(int times) throws IOException {
    for (int i = 0; i < times; i++) {
      start(10);
      send(1_000_000_000);
      long some = i * 20;
      until("some back", () -> driver().completed >= some);
      transport().reset();
      for (int q = 0; q < queues.size(); q++) {
        EchoDriver driver = drivers.get(q);
        DriverQueue queue = queues.get(q);
        until("told", () -> driver.broken != null);
        assertNull(driver.mismatch);
        onOwner(() -> driver.detach(queue));
        assertEquals(0, driver.inFlight());
      }
      transport().deleteQueues();
    }
    start(10);
    sendAndAwait(1000);
  }

  /** Resets the first of two queues with requests in flight, gives it each of some sizes. */
  void resizeWhileTheOtherRuns(int times) throws IOException {
    EchoDriver other = drivers.get(1);
    DriverQueue busy = queues.get(1);
    onOwner(() -> other.send(busy, 1_000_000_000));
    int[] sizes = {64, 4, 32, 8};
    for (int i = 0; i < times; i++) {
      onOwner(() -> driver().send(queue(), 100));
      transport().resetQueue(0);
      onOwner(this::takeAndDetach);
      assertNull(driver().mismatch);
      transport().enableQueue(0, sizes[i % sizes.length]);
      assertEquals(sizes[i % sizes.length], queue().size());
      onOwner(() -> driver().send(queue(), 200));
      until("back", driver()::isDone);
    }
    long before = other.completed;
    until("the other queue goes on", () -> other.completed > before);
    assertNull(other.broken);
  }

  private void takeAndDetach() {
    try {
      driver().take();
    } catch (PeerFault fault) {
      throw new AssertionError(fault);
    }
    driver().detach(queue());
  }

  /** The first queue goes from owner to owner while it runs, and stays with the other. */
  void moveWhileItRuns(EventLoop other, int times, long count) throws IOException {
    EventLoop[] owners = {(EventLoop) owner, other};
    for (int i = 1; i <= times; i++) {
      DriverQueue queue = queue();
      DriverQueueSet.onOwner(owners[(i + 1) % 2], () -> driver().send(queue, count));
      transport().setOwner(0, owners[i % 2]);
      transport().synchronizeCallbacks();
      // Only the owner of now is woken, or nothing comes any more.
      awaitAll();
    }
  }

  /** The configuration changes on another thread, while this one reads it and the queues run. */
  void changeConfiguration(int times) throws Exception {
    Thread changes =
        Thread.ofPlatform()
            .start(
                () -> {
                  for (int i = 1; i <= times; i++) {
                    long capacity = i * 0x1_0000_0001L;
                    device.config().change(() -> device.config().set("capacity", capacity));
                  }
                });
    byte[] capacity = new byte[8];
    while (changes.isAlive()) {
      transport().readConfig(0, capacity);
    }
    changes.join();
  }
}
