// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_AVAIL;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_USED;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.spec.DeviceStatus;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A driver that breaks the rules of the packed ring: one device breaks, and a reset heals it. */
class HostilePackedRingTest {
  /** No power of two. */
  private static final int SIZE = 7;

  private static final byte[] HELLO = "hello".getBytes();

  /** Tells the device of this test to keep the buffer. */
  private static final byte HOLD = 'H';

  /** Memory: 64 KiB at 64 KiB, a neighbour right behind it, a gap, and the very last page. */
  private static final long LOW = 0x1_0000;

  private static final long NEIGHBOUR = 0x2_0000;
  private static final long GAP = 0x3_0000;
  private static final long TOP = -0x1_0000L;

  /** Available in the first lap, and in the second. */
  private static final int FIRST = VIRTQ_DESC_F_AVAIL;

  private static final int SECOND = VIRTQ_DESC_F_USED;

  private interface Script {
    void write(ScriptedDriver driver, PackedRawRing ring);
  }

  private record Case(String name, FaultReason reason, Script script) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static TestMemory memory() {
    return TestMemory.builder()
        .region(LOW, 0x1_0000)
        .region(NEIGHBOUR, 0x1_0000)
        .region(TOP, 0x1_0000)
        .build();
  }

  static Stream<Arguments> cases() {
    List<Case> cases = new ArrayList<>();
    cases.addAll(flagCases());
    cases.addAll(idCases());
    cases.addAll(chainCases());
    cases.addAll(addressCases());
    cases.addAll(indirectCases());
    return Session.packed().flatMap(s -> cases.stream().map(c -> Arguments.of(s, c)));
  }

  private static List<Case> flagCases() {
    return List.of(
        laterDescriptor("was never written", 0),
        laterDescriptor("is available in the other lap", SECOND),
        laterDescriptor("is used in this lap", FIRST | SECOND),
        new Case(
            "a list goes on in the next lap with the flags of this one",
            FaultReason.DESCRIPTOR_NOT_AVAILABLE,
            (driver, ring) -> {
              // Lies at the end of the ring: the queue has started there.
              ring.descriptor(SIZE - 1, LOW, 1, 0, FIRST | VIRTQ_DESC_F_NEXT);
              ring.descriptor(0, LOW, 1, 0, FIRST);
            }));
  }

  private static Case laterDescriptor(String what, int flags) {
    return new Case(
        "the second descriptor of a list " + what,
        FaultReason.DESCRIPTOR_NOT_AVAILABLE,
        (driver, ring) -> {
          int at = driver.nextAvail();
          // Behind the end of the ring is the next lap, where all flags mean the opposite.
          boolean around = at == SIZE - 1;
          int mask = around ? FIRST | SECOND : 0;
          ring.descriptor((at + 1) % SIZE, LOW, 1, 0, flags ^ mask);
          ring.descriptor(at, LOW, 1, 0, FIRST | VIRTQ_DESC_F_NEXT);
        });
  }

  private static List<Case> idCases() {
    return List.of(
        new Case(
            "an id twice in one batch, the device still busy with it",
            FaultReason.HEAD_IN_FLIGHT,
            (driver, ring) -> {
              driver.chain().readable(HOLD).id(5).add();
              driver.chain().readable(HELLO).id(5).submit();
            }),
        new Case(
            "an id above the queue size twice",
            FaultReason.HEAD_IN_FLIGHT,
            (driver, ring) -> {
              driver.chain().readable(HOLD).id(0xffff).add();
              driver.chain().readable(HELLO).id(0xffff).submit();
            }),
        new Case(
            "the id of a list twice",
            FaultReason.HEAD_IN_FLIGHT,
            (driver, ring) -> {
              driver.chain().readable(HOLD).id(64).add();
              driver.chain().readable(HELLO).writable(3).id(64).submit();
            }));
  }

  private static List<Case> chainCases() {
    return List.of(
        new Case(
            "a list of the whole ring that goes on",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> list(driver, ring, SIZE, 0, 1)),
        new Case(
            "a list of no bytes round the ring",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> list(driver, ring, SIZE, 0, 0)),
        new Case(
            "a list of writable descriptors round the ring",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> list(driver, ring, SIZE, VIRTQ_DESC_F_WRITE, 1)),
        new Case(
            "a list longer than what is free",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> {
              driver.chain().readable(HOLD).id(3).submit();
              list(driver, ring, SIZE - 1, 0, 1);
            }),
        new Case(
            "writable before readable",
            FaultReason.WRITABLE_BEFORE_READABLE,
            (driver, ring) -> driver.chain().writable(4).readable(HELLO).submit()),
        new Case(
            "writable between readable",
            FaultReason.WRITABLE_BEFORE_READABLE,
            (driver, ring) -> driver.chain().readable(HELLO).writable(4).readable(HELLO).submit()),
        new Case(
            "writable of no bytes before readable",
            FaultReason.WRITABLE_BEFORE_READABLE,
            (driver, ring) -> driver.chain().writable(0).readable(HELLO).submit()));
  }

  /** So many descriptors, each with NEXT, from where the driver is. */
  private static void list(
      ScriptedDriver driver, PackedRawRing ring, int count, int flags, int len) {
    for (int i = count - 1; i >= 0; i--) {
      int at = driver.nextAvail() + i;
      int lap = at < SIZE == driver.availWrap() ? FIRST : SECOND;
      ring.descriptor(at % SIZE, LOW, len, i, flags | lap | VIRTQ_DESC_F_NEXT);
    }
  }

  private static List<Case> addressCases() {
    return List.of(
        new Case(
            "address below memory",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readableAt(LOW - 1, 1).submit()),
        new Case(
            "buffer reaches one byte into the gap",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readableAt(GAP - 4, 5).submit()),
        new Case(
            "largest length of one descriptor",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().writableAt(LOW, 0xffff_ffffL).submit()),
        new Case(
            "second descriptor outside memory",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readable(HELLO).writableAt(0, 8).submit()),
        new Case(
            "address and length pass 2^64 by one byte",
            FaultReason.ADDRESS_OVERFLOW,
            (driver, ring) -> driver.chain().readableAt(-1, 2).submit()));
  }

  private static List<Case> indirectCases() {
    return List.of(
        table("of no bytes", FaultReason.INDIRECT_LENGTH, LOW, 0),
        table("of 15 bytes", FaultReason.INDIRECT_LENGTH, LOW, 15),
        table("of 17 bytes", FaultReason.INDIRECT_LENGTH, LOW, 17),
        table("of 2^32 - 1 bytes", FaultReason.INDIRECT_LENGTH, LOW, 0xffff_ffffL),
        table("of one more than 1024 entries", FaultReason.CHAIN_TOO_LONG, LOW, 16 * 1025),
        table("of 2^32 - 16 bytes", FaultReason.CHAIN_TOO_LONG, LOW, 0xffff_fff0L),
        table("outside memory", FaultReason.ADDRESS_OUTSIDE_MEMORY, GAP, 16),
        table("that reaches into the gap", FaultReason.ADDRESS_OUTSIDE_MEMORY, GAP - 8, 16),
        table("that passes 2^64", FaultReason.ADDRESS_OVERFLOW, -16, 32),
        new Case(
            "an indirect descriptor that goes on",
            FaultReason.INDIRECT_WITH_NEXT,
            (driver, ring) ->
                driver.chain().tableFlags(VIRTQ_DESC_F_NEXT).indirect().readable(HELLO).submit()),
        new Case(
            "an indirect descriptor at the end of a list",
            FaultReason.INDIRECT_WITH_NEXT,
            (driver, ring) -> driver.chain().readable(HELLO).indirect().writable(5).submit()),
        new Case(
            "writable before readable in an indirect table",
            FaultReason.WRITABLE_BEFORE_READABLE,
            (driver, ring) -> driver.chain().indirect().writable(1).readable(HELLO).submit()),
        new Case(
            "buffer of an indirect table outside memory",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().indirect().readableAt(GAP, 1).submit()));
  }

  private static Case table(String what, FaultReason reason, long address, long bytes) {
    return new Case(
        "an indirect table " + what,
        reason,
        (driver, ring) ->
            ring.descriptor(driver.nextAvail(), address, bytes, 0, FIRST | VIRTQ_DESC_F_INDIRECT));
  }

  private static PuppetDevice device() {
    PuppetDevice device = PuppetDevice.echoing(8);
    device.action =
        (queue, chain) -> {
          if (chain.readableLength() == 1 && chain.reader().u8() == HOLD) {
            device.held.add(chain);
          } else {
            PuppetDevice.echo(queue, chain);
          }
        };
    return device;
  }

  @ParameterizedTest(name = "{0}: {1}")
  @MethodSource("cases")
  void aBrokenRuleBreaksTheDeviceUntilReset(Session session, Case hostile) {
    PuppetDevice device = device();
    // At the start, in the midst and at the end of the ring.
    for (int start : new int[] {0, 3, SIZE - 1}) {
      if (start != SIZE - 1 && hostile.name().startsWith("a list goes on in the next lap")) {
        continue;
      }
      try (TestMemory memory = memory();
          DeviceBench bench = session.of(device).queueSize(SIZE).memory(memory).start()) {
        ScriptedDriver driver = bench.driver(0);
        for (int i = 0; i < start; i++) {
          anEchoWorks(bench, false);
        }
        int notifications = bench.notifications(0);
        hostile.script().write(driver, driver.packedRing());
        bench.run();
        assertEquals(hostile.reason(), bench.brokenReason(0), "from position " + start);
        assertEquals(1, bench.host().faults());
        assertEquals(1, bench.configurationChanges());
        assertTrue((bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
        assertEquals(notifications, bench.notifications(0));
        staysBroken(bench, device);
        device.releaseWhenPolled = true;
        bench.restart();
        device.releaseWhenPolled = false;
        assertEquals(0, bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET);
        for (int i = 0; i < 3 * SIZE; i++) {
          anEchoWorks(bench, true);
        }
        assertEquals(1, bench.host().faults());
      }
    }
  }

  private static void staysBroken(DeviceBench bench, PuppetDevice device) {
    PackedRawRing ring = bench.driver(0).packedRing();
    int held = device.held.size();
    for (int i = 0; i < SIZE; i++) {
      ring.descriptor(i, LOW, 1, 1000 + i, i % 2 == 0 ? FIRST : SECOND);
    }
    byte[] before = ring.descriptorRing().toArray(ValueLayout.JAVA_BYTE);
    bench.run();
    bench.run();
    assertArrayEquals(before, ring.descriptorRing().toArray(ValueLayout.JAVA_BYTE));
    assertEquals(1, bench.host().faults());
    assertEquals(1, bench.configurationChanges());
    assertEquals(held, device.held.size());
  }

  /** One descriptor for each, or two. */
  private static void anEchoWorks(DeviceBench bench, boolean list) {
    ScriptedDriver driver = bench.driver(0);
    if (list) {
      driver.chain().readable(HELLO).writable(HELLO.length).submit();
    } else {
      driver.chain().indirect().readable(HELLO).writable(HELLO.length).submit();
    }
    bench.run();
    assertArrayEquals(HELLO, driver.poll().bytes());
    assertNull(driver.poll());
  }

  @Test
  void anIndirectDescriptorThatWasNotNegotiatedBreaksTheDevice() {
    try (DeviceBench bench =
        DeviceBench.of(device()).features(Features.MODERN).packed().queueSize(SIZE).start()) {
      bench.driver(0).chain().indirect().readable(HELLO).submit();
      bench.run();
      assertEquals(FaultReason.INDIRECT_NOT_NEGOTIATED, bench.brokenReason(0));
      bench.restart();
      anEchoWorks(bench, true);
    }
  }

  @Test
  void aListLongerThan2To32BytesBreaksTheDevice() {
    try (TestMemory memory =
            TestMemory.builder().region(LOW, 1 << 20).region(1L << 32, 1 << 24).build();
        DeviceBench bench =
            DeviceBench.of(PuppetDevice.holding(512)).packed().memory(memory).start()) {
      ChainBuilder chain = bench.driver(0).chain();
      for (int i = 0; i < 256; i++) {
        chain.readableAt(1L << 32, 1 << 24);
      }
      chain.writable(1).submit();
      bench.run();
      assertEquals(FaultReason.CHAIN_LENGTH_OVERFLOW, bench.brokenReason(0));
    }
  }

  @Test
  void whatIsInFlightIsNotMadeAvailableAgainInTheNextLap() {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = DeviceBench.of(device).packed().queueSize(SIZE).start()) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < SIZE; i++) {
        driver.chain().readable(HELLO).add();
      }
      driver.publish();
      bench.run();
      assertEquals(SIZE, device.held.size());
      driver.packedRing().descriptor(0, 64, 1, 99, SECOND);
      bench.run();
      assertEquals(FaultReason.RING_OVERRUN, bench.brokenReason(0));
      assertEquals(SIZE, device.held.size());
      assertEquals(SECOND, driver.packedRing().flags(0));
      device.releaseWhenPolled = true;
      bench.restart();
      device.action = PuppetDevice::echo;
      anEchoWorks(bench, true);
    }
  }

  @Test
  void oneBrokenQueueLeavesTheOtherDeviceAlone() {
    try (DeviceBench victim = DeviceBench.of(device()).packed().start();
        DeviceBench bystander = DeviceBench.of(device()).packed().start()) {
      victim.driver(0).chain().readableAt(-1, 1).submit();
      victim.run();
      assertEquals(FaultReason.ADDRESS_OUTSIDE_MEMORY, victim.brokenReason(0));
      anEchoWorks(bystander, true);
      assertEquals(0, bystander.host().faults());
    }
  }
}
