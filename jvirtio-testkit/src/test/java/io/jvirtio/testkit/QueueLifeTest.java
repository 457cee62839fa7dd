// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueLayout;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Stop, resume, reset, and new memory, with requests in flight. */
class QueueLifeTest {
  private static final byte[] HELLO = "hello".getBytes();

  private static void echo(DeviceBench bench) {
    ScriptedDriver driver = bench.driver(0);
    driver.chain().readable(HELLO).writable(HELLO.length).submit();
    bench.run();
    bench.awaitUsed(0, 1);
    assertArrayEquals(HELLO, driver.poll().bytes());
  }

  @Test
  void aStoppedQueueGoesOnWhereItStopped() throws PeerFault {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      QueueLayout layout = driver.layout();
      long[] mark = bench.memory().mark();
      int sent = 0;
      for (int round = 0; round < 30_000; round += 1 + round % 3) {
        echo(bench);
        sent++;
        if (round % 100 == 0) {
          int next = bench.host().stopQueue(0);
          assertEquals(sent & 0xffff, next);
          assertFalse(bench.host().isRunning(0));
          // What arrives now is taken later.
          driver.chain().readable(HELLO).writable(2).submit();
          bench.run();
          assertNull(driver.poll());
          bench.startRawQueue(
              0,
              new QueueLayout(
                  8, layout.descriptorArea(), layout.driverArea(), layout.deviceArea(), next));
          assertTrue(bench.host().isRunning(0));
          bench.run();
          assertEquals(2, driver.poll().length());
          sent++;
        }
        bench.memory().release(mark);
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @Test
  void stoppingAStoppedQueueSaysWhereItIs() throws PeerFault {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing(8)).start()) {
      echo(bench);
      assertEquals(1, bench.host().stopQueue(0));
      assertEquals(1, bench.host().stopQueue(0));
      bench.reset();
      assertEquals(0, bench.host().stopQueue(0));
    }
  }

  @Test
  void stoppingWaitsForWhatIsInFlight() throws PeerFault {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(HELLO).writable(3).submit();
      driver.chain().readable(HELLO).writable(4).submit();
      bench.run();
      assertNull(driver.poll());
      device.releaseWhenPolled = true;
      // This one comes too late: nothing is consumed any more.
      driver.chain().readable(HELLO).writable(5).submit();
      assertEquals(2, bench.host().stopQueue(0));
      assertEquals(1, device.stops);
      assertEquals(3, driver.poll().length());
      assertEquals(4, driver.poll().length());
      assertNull(driver.poll());
      assertEquals(1, bench.notifications(0));
    }
  }

  @Test
  @Requirement(
      section = "Device Reset",
      text =
          "A device MUST NOT send notifications or interact with the queues after indicating"
              + " completion of the reset by reinitializing device status to 0, until the driver"
              + " re-initializes the device.")
  void nothingHappensToTheRingsAfterAReset() {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(HELLO).writable(5).submit();
      bench.run();
      device.releaseWhenPolled = true;
      bench.reset();
      assertEquals(0, bench.host().status());
      assertEquals(1, device.resets);
      assertTrue(device.held.isEmpty());
      int notifications = bench.notifications(0);
      RawRing ring = driver.ring();
      byte[] used = ring.usedRing().toArray(ValueLayout.JAVA_BYTE);
      driver.chain().readable(HELLO).writable(5).submit();
      bench.run();
      bench.host().config().change(() -> bench.host().config().set("mode", 1));
      assertArrayEquals(used, ring.usedRing().toArray(ValueLayout.JAVA_BYTE));
      assertEquals(notifications, bench.notifications(0));
      assertEquals(0, bench.configurationChanges());
      device.action = PuppetDevice::echo;
      bench.start();
      echo(bench);
    }
  }

  @Test
  void aResetWaitsForRequestsOfOtherThreads() throws InterruptedException {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = DeviceBench.of(device).threaded().start()) {
      bench.driver(0).chain().readable(HELLO).writable(5).submit();
      bench.await(() -> device.started.getFirst().inFlight() == 1);
      Thread worker =
          Thread.ofPlatform()
              .start(
                  () -> {
                    bench
                        .owner()
                        .execute(
                            () ->
                                PuppetDevice.echo(
                                    device.started.getFirst(), device.held.removeFirst()));
                  });
      bench.reset();
      assertTrue(device.held.isEmpty());
      assertEquals(0, device.started.getFirst().inFlight());
      worker.join();
      device.action = PuppetDevice::echo;
      bench.start();
      echo(bench);
    }
  }

  @Test
  @Requirement(
      section = "Virtqueue Reset",
      text =
          "After a queue has been reset by the driver, the device MUST NOT execute any requests"
              + " from that virtqueue, or notify the driver for it.")
  @Requirement(
      section = "Virtqueue Reset",
      text =
          "The device MUST reset any state of a virtqueue to the default state, including the"
              + " available state and the used state.")
  @Requirement(
      section = "Virtqueue Re-enable",
      text =
          "The device MUST observe any queue configuration that may have been changed by the"
              + " driver, like the maximum queue size.")
  void aQueueIsResetAlone() throws PeerFault {
    try (DeviceBench bench = DeviceBench.of(new PuppetDevice(2, 8)).start()) {
      echo(bench);
      ScriptedDriver before = bench.driver(0);
      bench.host().resetQueue(0);
      before.chain().readable(HELLO).writable(5).submit();
      int notifications = bench.notifications(0);
      bench.run();
      assertNull(before.poll());
      assertEquals(notifications, bench.notifications(0));
      assertFalse(bench.host().isRunning(0));
      assertTrue(bench.host().isRunning(1));
      assertEquals(0, bench.host().stopQueue(0));

      ScriptedDriver after = bench.startQueue(0, RawRing.allocate(bench.memory(), 2));
      assertNotSame(before, after);
      echo(bench);
      assertEquals(1, after.ring().usedIdx());
    }
  }

  @Test
  void memoryIsReplacedWhileQueuesRun() {
    PuppetDevice device = PuppetDevice.holding(8);
    try (TestMemory spare = TestMemory.standard();
        DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(HELLO).writable(5).submit();
      bench.run();
      assertEquals(1, device.held.size());
      device.releaseWhenPolled = true;
      bench.replaceMemory(GuestMemory.of(List.of(moved(bench.memory(), spare, 0))));
      // What was in flight ended in the old memory, before it was let go of.
      assertTrue(device.held.isEmpty());
      assertArrayEquals(HELLO, driver.poll().bytes());

      // From here on the rings and the buffers of the device are in the copy.
      device.action = PuppetDevice::echo;
      spare.release(bench.memory().mark());
      QueueLayout layout = at(driver.layout(), driver.nextAvail());
      ScriptedDriver moved = new ScriptedDriver(spare, layout, driver.order(), true);
      moved.chain().readable("again".getBytes()).writable(5).submit();
      bench.run();
      assertArrayEquals("again".getBytes(), moved.poll().bytes());
      assertNull(driver.poll());
      assertEquals(0, bench.host().faults());
      bench.replaceMemory(bench.memory().snapshot());
    }
  }

  private static QueueLayout at(QueueLayout layout, int start) {
    return new QueueLayout(
        layout.size(), layout.descriptorArea(), layout.driverArea(), layout.deviceArea(), start);
  }

  /** Copies a region to where it will be from now on. */
  private static MemoryRegion moved(TestMemory from, TestMemory to, int region) {
    to.segment(region).copyFrom(from.segment(region));
    return to.regions().get(region);
  }

  @Test
  void aQueueWhoseMemoryIsTakenAwayBreaks() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing(8)).start()) {
      echo(bench);
      bench.replaceMemory(GuestMemory.EMPTY);
      assertEquals(FaultReason.ADDRESS_OUTSIDE_MEMORY, bench.brokenReason(0));
      assertEquals(1, bench.host().faults());
      assertEquals(1, bench.configurationChanges());
      bench.run();
      bench.replaceMemory(bench.memory().snapshot());
      bench.restart();
      echo(bench);
    }
  }

  @Test
  void memoryIsReplacedUnderLoad() {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing(8)).threaded().queueSize(8).start()) {
      ScriptedDriver driver = bench.driver(0);
      GuestMemory one = bench.memory().snapshot();
      GuestMemory other = bench.memory().snapshot();
      long out = bench.memory().allocate(4, 4);
      int received = 0;
      for (int i = 0; i < 5_000; i++) {
        driver.chain().readableAt(out, 4).writableAt(out, 4).submit();
        bench.run();
        if (i % 10 == 0) {
          bench.replaceMemory(i % 20 == 0 ? other : one);
        }
        while (driver.freeDescriptors() < 2) {
          received += driver.pollAll().size();
          bench.run();
        }
      }
      bench.awaitUsed(0, 5_000 - received);
      assertEquals(0, bench.host().faults());
    }
  }
}
