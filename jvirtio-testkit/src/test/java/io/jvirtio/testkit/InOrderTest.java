// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.PackedRing;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** VIRTIO_F_IN_ORDER on the device side, split and packed. */
class InOrderTest {
  private static final byte[] HELLO = "hello".getBytes();

  private static DeviceBench bench(PuppetDevice device, boolean packed) {
    DeviceBench.Builder builder = DeviceBench.of(device).inOrder();
    return (packed ? builder.packed().queueSize(7) : builder.queueSize(8)).start();
  }

  private static void push(DeviceBench bench, PuppetDevice device, int which, int written) {
    DeviceQueue queue = device.started.getLast();
    queue.push(device.held.get(which), written);
    bench.run();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  @Requirement(
      section = "Reserved Feature Bits",
      text =
          "If VIRTIO_F_IN_ORDER has been negotiated, a device MUST use buffers in the same order in"
              + " which they have been available.")
  void aBufferThatIsDoneWaitsForThoseBeforeIt(boolean packed) {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = bench(device, packed)) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < 4; i++) {
        driver.chain().writable(4 + i).add();
      }
      driver.publish();
      bench.run();
      assertEquals(4, device.held.size());
      push(bench, device, 2, 6);
      push(bench, device, 1, 2);
      assertEquals(0, driver.pending());
      assertEquals(4, device.started.getLast().inFlight());
      int before = bench.notifications(0);
      push(bench, device, 0, 4);
      assertEquals(3, driver.pending());
      assertEquals(before + 1, bench.notifications(0));
      assertEquals(4, driver.poll().length());
      assertEquals(2, driver.poll().length());
      assertEquals(6, driver.poll().length());
      assertNull(driver.poll());
      push(bench, device, 3, 1);
      assertEquals(1, driver.poll().length());
      assertEquals(0, device.started.getLast().inFlight());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void oneElementStandsForABatchThatWasWrittenCompletely(boolean packed) {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench = bench(device, packed)) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < 3; i++) {
        driver.chain().indirect().readable(HELLO).writable(HELLO.length).add();
      }
      driver.publish();
      if (!packed) {
        driver.ring().usedEntry(1, 77, 77);
        driver.ring().usedEntry(2, 77, 77);
      }
      bench.run();
      if (packed) {
        PackedRawRing ring = driver.packedRing();
        assertTrue(PackedRing.isUsed(ring.flags(0), true));
        assertTrue(PackedRing.isAvailable(ring.flags(1), true), "skipped");
        assertTrue(PackedRing.isAvailable(ring.flags(2), true), "skipped");
        assertEquals(2, ring.id(0), "the last of the batch");
      } else {
        assertEquals(3, driver.ring().usedIdx());
        assertEquals(77, driver.ring().usedId(1), "skipped");
        assertEquals(77, driver.ring().usedId(2), "skipped");
      }
      for (ScriptedDriver.Used used : driver.pollAll()) {
        assertArrayEquals(HELLO, used.bytes());
      }
      assertEquals(driver.size(), driver.freeDescriptors());
      assertEquals(3, device.started.getLast().counters().used());
    }
  }

  @ParameterizedTest
  @EnumSource
  void whateverOrderTheDeviceChoosesTheDriverSeesItsOwn(Session session) {
    Random random = new Random(35);
    PuppetDevice device = PuppetDevice.holding(16);
    try (DeviceBench bench = session.of(device).inOrder().start()) {
      ScriptedDriver driver = bench.driver(0);
      long[] mark = bench.memory().mark();
      for (int round = 0; round < 500; round++) {
        List<TestChain> sent = new ArrayList<>();
        while (driver.freeDescriptors() >= 3) {
          ChainBuilder chain = driver.chain().readable((byte) round);
          for (int i = random.nextInt(3); i > 0; i--) {
            chain.writable(8);
          }
          sent.add(chain.add());
        }
        driver.publish();
        bench.run();
        List<DescriptorChain> held = new ArrayList<>(device.held);
        device.held.clear();
        Collections.shuffle(held, random);
        int back = 0;
        for (DescriptorChain chain : held) {
          long most = chain.writableLength();
          device.started.getLast().push(chain, random.nextBoolean() ? most : most / 2);
          bench.run();
          for (ScriptedDriver.Used used : driver.pollAll()) {
            assertEquals(sent.get(back++), used.chain());
          }
        }
        assertEquals(sent.size(), back);
        bench.memory().release(mark);
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aResetGivesUpWhatIsDoneAndStillWaits(boolean packed) {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = bench(device, packed)) {
      for (int i = 0; i < 3; i++) {
        bench.driver(0).chain().readable(HELLO).writable(5).submit();
      }
      bench.run();
      push(bench, device, 2, 5);
      push(bench, device, 1, 5);
      device.held.subList(1, 3).clear();
      device.releaseWhenPolled = true;
      bench.restart();
      assertTrue(device.held.isEmpty());
      device.action = PuppetDevice::echo;
      for (int i = 0; i < 20; i++) {
        bench.driver(0).chain().readable(HELLO).writable(5).submit();
        bench.run();
        assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aHostileDriverLeavesWhatIsDoneAndStillWaitsBehind(boolean packed) {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = bench(device, packed)) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < 3; i++) {
        driver.chain().readable(HELLO).writable(5).submit();
      }
      bench.run();
      push(bench, device, 1, 5);
      driver.chain().readableAt(-1, 1).submit();
      bench.run();
      assertEquals(1, bench.host().faults());
      assertEquals(2, device.started.getLast().inFlight());
      device.held.remove(1);
      device.releaseWhenPolled = true;
      bench.restart();
      assertEquals(1, bench.host().faults());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aDeviceThatFailsAtABufferLeavesWhatIsDoneBehindIt(boolean packed) {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = bench(device, packed)) {
      device.action =
          (queue, chain) -> {
            device.held.add(chain);
            if (device.held.size() == 3) {
              queue.push(device.held.get(2), 5);
              queue.push(device.held.get(1), 6);
            }
          };
      for (int i = 0; i < 3; i++) {
        bench.driver(0).chain().readable(HELLO).writable(5).submit();
      }
      bench.run();
      assertEquals(FaultReason.DEVICE_ERROR, bench.brokenReason(0));
      assertEquals(1, device.started.getLast().inFlight(), "the first");
      device.held.subList(1, 3).clear();
      device.releaseWhenPolled = true;
      bench.restart();
      device.action = PuppetDevice::echo;
      bench.driver(0).chain().readable(HELLO).writable(5).submit();
      bench.run();
      assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
    }
  }
}
