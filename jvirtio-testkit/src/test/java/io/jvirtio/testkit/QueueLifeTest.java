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
import io.jvirtio.spec.PackedRing;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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

  private static DeviceBench.Builder of(PuppetDevice device, boolean packed) {
    DeviceBench.Builder builder = DeviceBench.of(device);
    return packed ? builder.packed().queueSize(7) : builder;
  }

  /** Where a queue goes on after so many descriptors (packed) or buffers. */
  private static int next(boolean packed, int count) {
    int lap = count / 7 % 2 == 0 ? PackedRing.WRAP : 0;
    return packed ? count % 7 | lap : count & 0xffff;
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aStoppedQueueGoesOnWhereItStopped(boolean packed) throws PeerFault {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench = of(device, packed).start()) {
      ScriptedDriver driver = bench.driver(0);
      QueueLayout layout = driver.layout();
      long[] mark = bench.memory().mark();
      int sent = 0;
      for (int round = 0; round < 30_000; round += 1 + round % 3) {
        echo(bench);
        sent++;
        if (round % 100 == 0) {
          int next = bench.host().stopQueue(0);
          assertEquals(next(packed, packed ? 2 * sent : sent), next);
          assertFalse(bench.host().isRunning(0));
          // What arrives now is taken later.
          driver.chain().readable(HELLO).writable(2).submit();
          bench.run();
          assertNull(driver.poll());
          bench.startRawQueue(
              0,
              new QueueLayout(
                  driver.size(),
                  layout.descriptorArea(),
                  layout.driverArea(),
                  layout.deviceArea(),
                  next));
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

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void stoppingAStoppedQueueSaysWhereItIs(boolean packed) throws PeerFault {
    try (DeviceBench bench = of(PuppetDevice.echoing(8), packed).start()) {
      echo(bench);
      int next = next(packed, packed ? 2 : 1);
      assertEquals(next, bench.host().stopQueue(0));
      assertEquals(next, bench.host().stopQueue(0));
      bench.reset();
      assertEquals(0, bench.host().stopQueue(0));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void stoppingWaitsForWhatIsInFlight(boolean packed) throws PeerFault {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = of(device, packed).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(HELLO).writable(3).submit();
      driver.chain().readable(HELLO).writable(4).submit();
      bench.run();
      assertNull(driver.poll());
      device.releaseWhenPolled = true;
      // This one comes too late: nothing is consumed any more.
      driver.chain().readable(HELLO).writable(5).submit();
      assertEquals(next(packed, packed ? 4 : 2), bench.host().stopQueue(0));
      assertEquals(1, device.stops);
      assertEquals(3, driver.poll().length());
      assertEquals(4, driver.poll().length());
      assertNull(driver.poll());
      assertEquals(1, bench.notifications(0));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  @Requirement(
      section = "Device Reset",
      text =
          "A device MUST NOT send notifications or interact with the queues after indicating"
              + " completion of the reset by reinitializing device status to 0, until the driver"
              + " re-initializes the device.")
  void nothingHappensToTheRingsAfterAReset(boolean packed) {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = of(device, packed).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(HELLO).writable(5).submit();
      bench.run();
      device.releaseWhenPolled = true;
      bench.reset();
      assertEquals(0, bench.host().status());
      assertEquals(1, device.resets);
      assertTrue(device.held.isEmpty());
      int notifications = bench.notifications(0);
      driver.chain().readable(HELLO).writable(5).submit();
      byte[] used = written(driver);
      bench.run();
      bench.host().config().change(() -> bench.host().config().set("mode", 1));
      assertArrayEquals(used, written(driver));
      assertEquals(notifications, bench.notifications(0));
      assertEquals(0, bench.configurationChanges());
      device.action = PuppetDevice::echo;
      bench.start();
      echo(bench);
    }
  }

  /** The part of a ring that a device writes. */
  private static byte[] written(ScriptedDriver driver) {
    return (driver.isPacked() ? driver.packedRing().descriptorRing() : driver.ring().usedRing())
        .toArray(ValueLayout.JAVA_BYTE);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aResetWaitsForRequestsOfOtherThreads(boolean packed) throws InterruptedException {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = of(device, packed).threaded().start()) {
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

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
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
  void aQueueIsResetAlone(boolean packed) throws PeerFault {
    try (DeviceBench bench = of(new PuppetDevice(2, 8), packed).start()) {
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

      QueueLayout smaller =
          packed ? PackedRawRing.allocate(bench.memory(), 3) : RawRing.allocate(bench.memory(), 2);
      ScriptedDriver after = bench.startQueue(0, smaller);
      assertNotSame(before, after);
      for (int i = 0; i < 5; i++) {
        echo(bench);
      }
      assertEquals(packed ? 10 % 3 : 5, after.nextUsed());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void memoryIsReplacedWhileQueuesRun(boolean packed) {
    PuppetDevice device = PuppetDevice.holding(8);
    try (TestMemory spare = TestMemory.standard();
        DeviceBench bench = of(device, packed).start()) {
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
      QueueLayout layout = at(driver.layout(), next(packed, driver.nextAvail()));
      ScriptedDriver moved =
          new ScriptedDriver(spare, layout, bench.host().driverFeatures(), driver.order());
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

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void memoryIsReplacedUnderLoad(boolean packed) {
    try (DeviceBench bench = of(PuppetDevice.echoing(8), packed).threaded().start()) {
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
