// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A driver that breaks the rules of the split ring: one device breaks, and a reset heals it. */
class HostileRingTest {
  private static final int SIZE = 8;
  private static final byte[] HELLO = "hello".getBytes();

  /** Memory: 64 KiB at 64 KiB, a neighbour right behind it, a gap, and the very last page. */
  private static final long LOW = 0x1_0000;

  private static final long NEIGHBOUR = 0x2_0000;
  private static final long GAP = 0x3_0000;
  private static final long TOP = -0x1_0000L;

  private interface Script {
    void write(ScriptedDriver driver, RawRing ring);
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
    cases.addAll(indexCases());
    cases.addAll(chainCases());
    cases.addAll(addressCases());
    cases.addAll(indirectCases());
    return Session.split().flatMap(session -> cases.stream().map(c -> Arguments.of(session, c)));
  }

  private static void offer(ScriptedDriver driver, int head) {
    driver.addHead(head);
    driver.publish();
  }

  private static List<Case> indexCases() {
    return List.of(
        new Case(
            "head is the queue size",
            FaultReason.HEAD_OUT_OF_RANGE,
            (driver, ring) -> offer(driver, SIZE)),
        new Case(
            "head is 0xffff",
            FaultReason.HEAD_OUT_OF_RANGE,
            (driver, ring) -> offer(driver, 0xffff)),
        new Case(
            "idx jumps one too far",
            FaultReason.AVAIL_IDX_JUMP,
            (driver, ring) -> ring.availIdx(SIZE + 1)),
        new Case(
            "idx goes backwards",
            FaultReason.AVAIL_IDX_JUMP,
            (driver, ring) -> ring.availIdx(0xffff)),
        new Case(
            "idx jumps half a turn",
            FaultReason.AVAIL_IDX_JUMP,
            (driver, ring) -> ring.availIdx(0x8000)),
        new Case(
            "a head twice in one batch, the device still busy with it",
            FaultReason.HEAD_IN_FLIGHT,
            (driver, ring) -> {
              driver.chain().readable(HOLD).at(3).add();
              offer(driver, 3);
            }));
  }

  /** Tells the device of this test to keep the buffer. */
  private static final byte HOLD = 'H';

  private static List<Case> chainCases() {
    return List.of(
        new Case(
            "a descriptor that is its own next",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> {
              ring.descriptor(0, LOW, 1, VIRTQ_DESC_F_NEXT, 0);
              offer(driver, 0);
            }),
        new Case(
            "a loop of two",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> {
              ring.descriptor(0, LOW, 1, VIRTQ_DESC_F_NEXT, 5);
              ring.descriptor(5, LOW, 1, VIRTQ_DESC_F_NEXT, 0);
              offer(driver, 0);
            }),
        new Case(
            "a loop through the whole table, of no bytes",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> {
              for (int i = 0; i < SIZE; i++) {
                ring.descriptor(i, 0, 0, VIRTQ_DESC_F_NEXT, (i + 1) % SIZE);
              }
              offer(driver, 0);
            }),
        new Case(
            "a loop of writable descriptors",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> {
              ring.descriptor(2, LOW, 1, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2);
              offer(driver, 2);
            }),
        new Case(
            "next is the queue size",
            FaultReason.NEXT_OUT_OF_RANGE,
            (driver, ring) -> {
              ring.descriptor(0, LOW, 1, VIRTQ_DESC_F_NEXT, SIZE);
              offer(driver, 0);
            }),
        new Case(
            "next is 0xffff",
            FaultReason.NEXT_OUT_OF_RANGE,
            (driver, ring) -> {
              ring.descriptor(0, LOW, 1, VIRTQ_DESC_F_NEXT, 0xffff);
              offer(driver, 0);
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
            (driver, ring) -> driver.chain().writable(0).readable(HELLO).submit()),
        new Case(
            "writable before readable of no bytes",
            FaultReason.WRITABLE_BEFORE_READABLE,
            (driver, ring) -> driver.chain().writable(4).readable().submit()));
  }

  private static List<Case> addressCases() {
    return List.of(
        new Case(
            "address below memory",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readableAt(LOW - 1, 1).submit()),
        new Case(
            "address in the gap",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().writableAt(GAP, 1).submit()),
        new Case(
            "buffer reaches one byte into the gap",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readableAt(GAP - 4, 5).submit()),
        new Case(
            "buffer from before memory into it",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readableAt(LOW - 1, 2).submit()),
        new Case(
            "address of the host instead of the guest",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) ->
                driver
                    .chain()
                    .writableAt(driver.memory().regions().getFirst().hostAddress(), 16)
                    .submit()),
        new Case(
            "largest length of one descriptor",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readableAt(LOW, 0xffff_ffffL).submit()),
        new Case(
            "second descriptor outside memory",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().readable(HELLO).writableAt(0, 8).submit()),
        new Case(
            "address and length pass 2^64 by one byte",
            FaultReason.ADDRESS_OVERFLOW,
            (driver, ring) -> driver.chain().readableAt(-1, 2).submit()),
        new Case(
            "address and length pass 2^64 by far",
            FaultReason.ADDRESS_OVERFLOW,
            (driver, ring) -> driver.chain().writableAt(-16, 0xffff_ffffL).submit()));
  }

  private static List<Case> indirectCases() {
    return List.of(
        new Case(
            "indirect table of no bytes",
            FaultReason.INDIRECT_LENGTH,
            (driver, ring) -> table(driver, LOW, 0)),
        new Case(
            "indirect table of 15 bytes",
            FaultReason.INDIRECT_LENGTH,
            (driver, ring) -> table(driver, LOW, 15)),
        new Case(
            "indirect table of 17 bytes",
            FaultReason.INDIRECT_LENGTH,
            (driver, ring) -> table(driver, LOW, 17)),
        new Case(
            "indirect table of 2^32 - 1 bytes",
            FaultReason.INDIRECT_LENGTH,
            (driver, ring) -> table(driver, LOW, 0xffff_ffffL)),
        new Case(
            "indirect table outside memory",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> table(driver, GAP, 16)),
        new Case(
            "indirect table reaches into the gap",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> table(driver, GAP - 8, 16)),
        new Case(
            "indirect table passes 2^64",
            FaultReason.ADDRESS_OVERFLOW,
            (driver, ring) -> table(driver, -16, 32)),
        new Case(
            "indirect descriptor with next",
            FaultReason.INDIRECT_WITH_NEXT,
            (driver, ring) -> {
              ring.descriptor(0, LOW, 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT, 1);
              ring.descriptor(1, LOW, 1, 0, 0);
              offer(driver, 0);
            }),
        new Case(
            "indirect in indirect",
            FaultReason.INDIRECT_IN_INDIRECT,
            (driver, ring) -> tableOfOne(driver, LOW, 16, VIRTQ_DESC_F_INDIRECT, 0)),
        new Case(
            "next of an indirect table is its size",
            FaultReason.NEXT_OUT_OF_RANGE,
            (driver, ring) -> tableOfOne(driver, LOW, 1, VIRTQ_DESC_F_NEXT, 1)),
        new Case(
            "loop in an indirect table",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> tableOfOne(driver, LOW, 1, VIRTQ_DESC_F_NEXT, 0)),
        new Case(
            "loop of no bytes in an indirect table",
            FaultReason.CHAIN_TOO_LONG,
            (driver, ring) -> tableOfOne(driver, LOW, 0, VIRTQ_DESC_F_NEXT, 0)),
        new Case(
            "writable before readable in an indirect table",
            FaultReason.WRITABLE_BEFORE_READABLE,
            (driver, ring) -> driver.chain().indirect().writable(1).readable(HELLO).submit()),
        new Case(
            "writable direct before readable indirect",
            FaultReason.WRITABLE_BEFORE_READABLE,
            (driver, ring) -> driver.chain().writable(1).indirect().readable(HELLO).submit()),
        new Case(
            "buffer of an indirect table outside memory",
            FaultReason.ADDRESS_OUTSIDE_MEMORY,
            (driver, ring) -> driver.chain().indirect().readableAt(GAP, 1).submit()));
  }

  private static void table(ScriptedDriver driver, long address, long bytes) {
    driver.ring().descriptor(0, address, bytes, VIRTQ_DESC_F_INDIRECT, 0);
    offer(driver, 0);
  }

  private static void tableOfOne(ScriptedDriver driver, long addr, long len, int flags, int next) {
    long table = driver.memory().allocate(16, 16);
    MemorySegment bytes = driver.memory().slice(table, 16);
    driver.ring().descriptor(bytes, 0, addr, len, flags, next);
    table(driver, table, 16);
  }

  private static PuppetDevice device() {
    PuppetDevice device = PuppetDevice.echoing(SIZE);
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
  @Requirement(
      section = "Device Status Field",
      text =
          "If DRIVER_OK is set, after it sets DEVICE_NEEDS_RESET, the device MUST send a device"
              + " configuration change notification to the driver.")
  void aBrokenRuleBreaksTheDeviceUntilReset(Session session, Case hostile) {
    PuppetDevice device = device();
    try (TestMemory memory = memory();
        DeviceBench bench = session.of(device).memory(memory).start()) {
      anEchoWorks(bench);
      bench.restart();
      ScriptedDriver driver = bench.driver(0);
      int notifications = bench.notifications(0);
      hostile.script().write(driver, driver.ring());
      // A case without a call to publish stands on its own idx.
      if (driver.ring().availIdx() == 0) {
        driver.publish();
      }
      bench.run();
      assertEquals(hostile.reason(), bench.brokenReason(0));
      assertEquals(1, bench.host().faults());
      assertEquals(1, bench.configurationChanges());
      assertTrue((bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
      assertEquals(notifications, bench.notifications(0));

      staysBroken(bench, device);
      device.releaseWhenPolled = true;
      bench.restart();
      assertEquals(0, bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET);
      anEchoWorks(bench);
      assertEquals(1, bench.host().faults());
    }
  }

  private static void staysBroken(DeviceBench bench, PuppetDevice device) {
    RawRing ring = bench.driver(0).ring();
    byte[] before = ring.usedRing().toArray(ValueLayout.JAVA_BYTE);
    ring.descriptor(1, LOW, 1, 0, 0);
    ring.availEntry(0, 1);
    ring.availIdx(1);
    bench.run();
    bench.run();
    assertArrayEquals(before, ring.usedRing().toArray(ValueLayout.JAVA_BYTE));
    assertEquals(1, bench.host().faults());
    assertEquals(1, bench.configurationChanges());
    assertTrue(device.held.size() <= 1);
  }

  private static void anEchoWorks(DeviceBench bench) {
    ScriptedDriver driver = bench.driver(0);
    driver.chain().readable(HELLO).writable(HELLO.length).submit();
    bench.run();
    assertArrayEquals(HELLO, driver.poll().bytes());
    assertNull(driver.poll());
  }

  @Test
  void anIndirectDescriptorThatWasNotNegotiatedBreaksTheDevice() {
    FeatureBits plain = FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1);
    try (DeviceBench bench = DeviceBench.of(device()).features(plain).start()) {
      bench.driver(0).chain().indirect().readable(HELLO).submit();
      bench.run();
      assertEquals(FaultReason.INDIRECT_NOT_NEGOTIATED, bench.brokenReason(0));
      bench.restart();
      anEchoWorks(bench);
    }
  }

  @Test
  void aChainOfTheQueueSizeIsTakenAndOneLongerIsNot() {
    try (DeviceBench bench = DeviceBench.of(device()).start()) {
      ScriptedDriver driver = bench.driver(0);
      ChainBuilder whole = driver.chain().readable(HELLO);
      for (int i = 1; i < SIZE; i++) {
        whole.writable(1);
      }
      whole.submit();
      bench.run();
      assertEquals(5, driver.poll().length());
      driver.ring().descriptor(SIZE - 1, LOW, 1, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 0);
      offer(driver, 0);
      bench.run();
      assertEquals(FaultReason.CHAIN_TOO_LONG, bench.brokenReason(0));
    }
  }

  @Test
  void twoToThe32BytesAreTakenAndOneMoreIsNot() {
    PuppetDevice device = PuppetDevice.holding(1024);
    long piece = 1 << 24;
    try (TestMemory memory =
            TestMemory.builder().region(LOW, 1 << 20).region(1L << 32, piece).build();
        DeviceBench bench = DeviceBench.of(device).memory(memory).start()) {
      ScriptedDriver driver = bench.driver(0);
      longChain(driver, piece, 256).submit();
      bench.run();
      assertNull(bench.brokenReason(0));
      assertEquals(1L << 32, device.held.getFirst().readableLength());
      assertEquals(1L << 32, device.held.getFirst().reader().remaining());
      longChain(driver, piece, 255).readableAt(1L << 32, piece - 1).writable(2).submit();
      bench.run();
      assertEquals(FaultReason.CHAIN_LENGTH_OVERFLOW, bench.brokenReason(0));
      device.held.forEach(chain -> device.started.getFirst().push(chain, 0));
    }
  }

  private static ChainBuilder longChain(ScriptedDriver driver, long piece, int count) {
    ChainBuilder chain = driver.chain();
    for (int i = 0; i < count; i++) {
      chain.readableAt(1L << 32, piece);
    }
    return chain;
  }

  @Test
  void anIdxJumpCountsWhatIsInFlight() {
    PuppetDevice device = PuppetDevice.holding(SIZE);
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(HELLO).submit();
      bench.run();
      assertEquals(1, device.held.size());
      // One is in flight: only SIZE - 1 more are possible.
      driver.ring().availIdx(1 + SIZE);
      bench.run();
      assertEquals(FaultReason.AVAIL_IDX_JUMP, bench.brokenReason(0));
      device.held.forEach(chain -> device.started.getFirst().push(chain, 0));
    }
  }

  @Test
  void oneBrokenQueueLeavesTheOtherDeviceAlone() {
    try (DeviceBench victim = DeviceBench.of(device()).start();
        DeviceBench bystander = DeviceBench.of(device()).start()) {
      offer(victim.driver(0), 0xffff);
      victim.run();
      assertEquals(FaultReason.HEAD_OUT_OF_RANGE, victim.brokenReason(0));
      anEchoWorks(bystander);
      assertEquals(0, bystander.host().faults());
    }
  }
}
