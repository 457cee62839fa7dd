// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.PackedRing;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A driver that puts a packed queue where none can be. */
class HostilePackedLayoutTest {
  private static final int MAX = 256;
  private static final int SIZE = 100;
  private static final long LOW = 0x1_0000;
  private static final long NEIGHBOUR = 0x2_0000;
  private static final long GAP = 0x3_0000;
  private static final long ODD = 0x10_0000;
  private static final long TOP = -0x1_0000L;
  private static final long RING = LOW;
  private static final long DRIVER = LOW + 0x2000;
  private static final long DEVICE = LOW + 0x4000;

  private record Case(String name, FaultReason reason, QueueLayout layout) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static TestMemory memory() {
    return TestMemory.builder()
        .region(LOW, 0x1_0000)
        .region(NEIGHBOUR, 0x1_0000)
        .region(ODD, 0x1_0000, 1)
        .region(TOP, 0x1_0000)
        .build();
  }

  static Stream<Case> cases() {
    List<Case> cases = new ArrayList<>();
    for (int size : new int[] {0, MAX + 1, 32768, 32769, 65536, -1, Integer.MIN_VALUE}) {
      QueueLayout layout = new QueueLayout(size, RING, DRIVER, DEVICE, QueueLayout.PACKED_START);
      cases.add(new Case("size " + size, FaultReason.QUEUE_SIZE_INVALID, layout));
    }
    for (int start : new int[] {SIZE, SIZE + 1, 0x7fff, 0x8000 | SIZE, 0xffff}) {
      QueueLayout layout = new QueueLayout(SIZE, RING, DRIVER, DEVICE, start);
      cases.add(new Case("start " + start, FaultReason.RING_START_INVALID, layout));
    }
    FaultReason misaligned = FaultReason.RING_MISALIGNED;
    for (int off : new int[] {1, 2, 4, 8}) {
      cases.add(at("descriptor area " + off, misaligned, RING + off, DRIVER, DEVICE));
    }
    for (int off : new int[] {1, 2}) {
      cases.add(at("driver area " + off, misaligned, RING, DRIVER + off, DEVICE));
      cases.add(at("device area " + off, misaligned, RING, DRIVER, DEVICE + off));
    }
    cases.add(at("odd in the host: descriptor area", misaligned, ODD, DRIVER, DEVICE));
    cases.add(at("odd in the host: driver area", misaligned, RING, ODD, DEVICE));
    cases.add(at("odd in the host: device area", misaligned, RING, DRIVER, ODD));
    FaultReason outside = FaultReason.ADDRESS_OUTSIDE_MEMORY;
    cases.add(at("descriptor area at 0", outside, 0, DRIVER, DEVICE));
    cases.add(at("descriptor area into the gap", outside, GAP - 16, DRIVER, DEVICE));
    cases.add(at("driver area in the gap", outside, RING, GAP, DEVICE));
    cases.add(at("driver area into the gap", outside, RING, GAP - 2, DEVICE));
    cases.add(at("device area from below", outside, RING, DRIVER, LOW - 4));
    FaultReason crosses = FaultReason.CROSSES_REGION;
    cases.add(at("descriptor area over an edge", crosses, NEIGHBOUR - 16, DRIVER, DEVICE));
    cases.add(at("driver area over an edge", crosses, RING, NEIGHBOUR - 2, DEVICE));
    FaultReason overflow = FaultReason.ADDRESS_OVERFLOW;
    cases.add(at("descriptor area wraps", overflow, -16, DRIVER, DEVICE));
    cases.add(at("driver area wraps", overflow, RING, -2, DEVICE));
    cases.add(at("device area wraps", overflow, RING, DRIVER, -2));
    return cases.stream();
  }

  private static Case at(String name, FaultReason reason, long ring, long driver, long device) {
    return new Case(
        name, reason, new QueueLayout(SIZE, ring, driver, device, QueueLayout.PACKED_START));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void aQueueThatCannotBeBreaksTheDeviceUntilReset(Case hostile) {
    PuppetDevice device = PuppetDevice.echoing(MAX);
    try (TestMemory memory = memory();
        DeviceBench bench = DeviceBench.of(device).packed().memory(memory).build()) {
      assertTrue(bench.negotiate());
      bench.startRawQueue(0, hostile.layout());
      assertEquals(0, bench.host().faults());
      bench.driverOk();
      assertEquals(hostile.reason(), bench.brokenReason(0));
      assertEquals(1, bench.host().faults());
      assertEquals(1, bench.configurationChanges());
      assertTrue((bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
      bench.run();
      assertTrue(device.started.isEmpty());
      bench.restart();
      bench.driver(0).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertNotNull(bench.driver(0).poll());
      assertEquals(1, bench.host().faults());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 5, 7, 100, 255, 256})
  void everySizeWorksToTheBrim(int size) {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing(MAX)).packed().queueSize(size).start()) {
      fillToTheBrim(bench);
    }
  }

  @Test
  void theLargestQueueIsFilledToTheBrim() {
    PuppetDevice device = PuppetDevice.echoing(PackedRing.MAX_QUEUE_SIZE);
    for (int size : new int[] {PackedRing.MAX_QUEUE_SIZE, PackedRing.MAX_QUEUE_SIZE - 1}) {
      try (DeviceBench bench = DeviceBench.of(device).packed().queueSize(size).start()) {
        fillToTheBrim(bench);
      }
    }
  }

  private static void fillToTheBrim(DeviceBench bench) {
    ScriptedDriver driver = bench.driver(0);
    long at = bench.memory().allocate(8, 8);
    for (int round = 0; round < 5; round++) {
      for (int i = 0; i < driver.size(); i++) {
        driver.chain().writableAt(at, 8).add();
      }
      driver.publish();
      bench.run();
      assertEquals(driver.size(), driver.pollAll().size());
      // One list that takes all of the ring, from somewhere in its midst.
      driver.chain().writableAt(at, 8).submit();
      bench.run();
      assertNotNull(driver.poll());
      ChainBuilder chain = driver.chain();
      for (int i = 0; i < driver.size(); i++) {
        chain.writableAt(at, 8);
      }
      chain.submit();
      bench.run();
      assertNotNull(driver.poll());
    }
    assertEquals(0, bench.host().faults());
    assertEquals(driver.size(), driver.freeDescriptors());
  }

  @Test
  void aQueueMayEndWithTheLastByteOfARegionAndOfTheAddressSpace() {
    PuppetDevice device = PuppetDevice.echoing(MAX);
    try (TestMemory memory = memory();
        DeviceBench bench = DeviceBench.of(device).packed().memory(memory).build()) {
      bench.negotiate();
      bench.startQueue(
          0, new QueueLayout(SIZE, -16 * SIZE, GAP - 4, NEIGHBOUR - 4, QueueLayout.PACKED_START));
      bench.driverOk();
      assertNull(bench.brokenReason(0));
      bench.driver(0).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertEquals(1, bench.driver(0).poll().length());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 0x8000, 0x8000 | 1, 99, 0x8000 | 99, 50})
  void aQueueStartsAnywhereInTheRingWithAnyWrapCounter(int start) throws Exception {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing(MAX)).packed().build()) {
      bench.negotiate();
      QueueLayout empty = PackedRawRing.allocate(bench.memory(), SIZE);
      QueueLayout layout =
          new QueueLayout(
              SIZE, empty.descriptorArea(), empty.driverArea(), empty.deviceArea(), start);
      ScriptedDriver driver = bench.startQueue(0, layout);
      // In the second lap the ring is full of what was used in the first one.
      for (int i = 0; i < SIZE; i++) {
        boolean lap = (start & 0x8000) != 0 == i < (start & 0x7fff);
        driver.packedRing().flags(i, PackedRing.usedFlags(lap));
      }
      bench.driverOk();
      bench.run();
      assertNull(driver.poll());
      for (int i = 0; i < 3 * SIZE; i++) {
        driver.chain().readable((byte) 1).writable(1).submit();
        bench.run();
        assertEquals(1, driver.poll().length());
      }
      assertEquals(0, bench.host().faults());
      // 600 descriptors are six laps, after which both are where they began.
      assertEquals(start, bench.host().stopQueue(0));
    }
  }
}
