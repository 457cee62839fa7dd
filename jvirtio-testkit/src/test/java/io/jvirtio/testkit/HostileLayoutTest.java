// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A driver that puts a queue where none can be. */
class HostileLayoutTest {
  private static final int MAX = 256;
  private static final long LOW = 0x1_0000;
  private static final long NEIGHBOUR = 0x2_0000;
  private static final long GAP = 0x3_0000;
  private static final long ODD = 0x10_0000;
  private static final long TOP = -0x1_0000L;

  private record Case(String name, FaultReason reason, int size, long desc, long avail, long used) {
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
    for (int size : new int[] {0, 3, 6, 255, MAX * 2, 32768, 65536, -1, Integer.MIN_VALUE}) {
      cases.add(
          new Case(
              "size " + size,
              FaultReason.QUEUE_SIZE_INVALID,
              size,
              LOW,
              LOW + 0x2000,
              LOW + 0x4000));
    }
    long desc = LOW;
    long avail = LOW + 0x2000;
    long used = LOW + 0x4000;
    for (int off : new int[] {1, 2, 4, 8}) {
      cases.add(at("descriptor area " + off, FaultReason.RING_MISALIGNED, desc + off, avail, used));
    }
    cases.add(at("driver area 1", FaultReason.RING_MISALIGNED, desc, avail + 1, used));
    cases.add(at("device area 1", FaultReason.RING_MISALIGNED, desc, avail, used + 1));
    cases.add(at("device area 2", FaultReason.RING_MISALIGNED, desc, avail, used + 2));
    cases.add(
        at("odd in the host: descriptor area", FaultReason.RING_MISALIGNED, ODD, avail, used));
    cases.add(at("odd in the host: driver area", FaultReason.RING_MISALIGNED, desc, ODD, used));
    cases.add(at("odd in the host: device area", FaultReason.RING_MISALIGNED, desc, avail, ODD));
    FaultReason outside = FaultReason.ADDRESS_OUTSIDE_MEMORY;
    cases.add(at("descriptor area at 0", outside, 0, avail, used));
    cases.add(at("descriptor area in the gap", outside, GAP, avail, used));
    cases.add(at("descriptor area into the gap", outside, GAP - 16, avail, used));
    cases.add(at("driver area into the gap", outside, desc, GAP - 16, used));
    cases.add(at("used_event in the gap", outside, desc, GAP - 4 - 2 * MAX, used));
    cases.add(at("device area into the gap", outside, desc, avail, GAP - 16));
    cases.add(at("avail_event in the gap", outside, desc, avail, GAP - 4 - 8 * MAX));
    cases.add(at("device area from below", outside, desc, avail, LOW - 4));
    cases.add(
        at(
            "descriptor area over an edge",
            FaultReason.CROSSES_REGION,
            NEIGHBOUR - 16,
            avail,
            used));
    cases.add(
        at("driver area over an edge", FaultReason.CROSSES_REGION, desc, NEIGHBOUR - 2, used));
    cases.add(
        at("device area over an edge", FaultReason.CROSSES_REGION, desc, avail, NEIGHBOUR - 4));
    cases.add(at("descriptor area wraps", FaultReason.ADDRESS_OVERFLOW, -16, avail, used));
    cases.add(at("driver area wraps", FaultReason.ADDRESS_OVERFLOW, desc, -2, used));
    cases.add(at("device area wraps", FaultReason.ADDRESS_OVERFLOW, desc, avail, -4));
    return cases.stream();
  }

  private static Case at(String name, FaultReason reason, long desc, long avail, long used) {
    return new Case(name, reason, MAX, desc, avail, used);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void aQueueThatCannotBeBreaksTheDeviceUntilReset(Case hostile) {
    PuppetDevice device = PuppetDevice.echoing(MAX);
    try (TestMemory memory = memory();
        DeviceBench bench = DeviceBench.of(device).memory(memory).build()) {
      assertTrue(bench.negotiate());
      bench.startRawQueue(
          0, new QueueLayout(hostile.size, hostile.desc, hostile.avail, hostile.used, 0));
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

  @Test
  void aQueueMayEndWithTheLastByteOfARegionAndOfTheAddressSpace() {
    PuppetDevice device = PuppetDevice.echoing(MAX);
    try (TestMemory memory = memory();
        DeviceBench bench = DeviceBench.of(device).memory(memory).build()) {
      bench.negotiate();
      // The rings need 6 + 2n and 6 + 8n bytes; the alignment leaves 2 bytes behind the used ring.
      QueueLayout layout =
          new QueueLayout(MAX, -16 * MAX, GAP - 6 - 2 * MAX, NEIGHBOUR - 8 - 8 * MAX, 0);
      bench.startQueue(0, layout);
      bench.driverOk();
      assertNull(bench.brokenReason(0));
      bench.driver(0).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertEquals(1, bench.driver(0).poll().length());
    }
  }
}
