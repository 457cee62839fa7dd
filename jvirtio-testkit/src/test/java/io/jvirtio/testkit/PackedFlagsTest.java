// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DESC;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DISABLE;
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
import io.jvirtio.spec.PackedRing;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Games with the flags of a packed ring that a device has to bear, or to see through. */
class PackedFlagsTest {
  private static final String TABLE = "Packed Virtqueues / The Virtqueue Descriptor Table";
  private static final byte[] HELLO = "hello".getBytes();
  private static final int SIZE = 7;
  private static final int BOTH = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

  private static DeviceBench bench(PuppetDevice device) {
    return DeviceBench.of(device).packed().queueSize(SIZE).start();
  }

  private static void echo(DeviceBench bench) {
    ScriptedDriver driver = bench.driver(0);
    driver.chain().indirect().readable(HELLO).writable(HELLO.length).submit();
    bench.run();
    assertArrayEquals(HELLO, driver.poll().bytes());
    assertNull(driver.poll());
  }

  @Test
  @Requirement(
      section = TABLE,
      text =
          "A device MUST NOT use a descriptor unless it observes the VIRTQ_DESC_F_AVAIL bit in its"
              + " flags being changed (e.g. as compared to the initial zero value).")
  void ofTheFourCombinationsOneIsAvailableInEachLap() {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench = bench(device)) {
      PackedRawRing ring = bench.driver(0).packedRing();
      long at = bench.memory().allocate(8, 8);
      for (int done = 0; done < 5 * SIZE; done++) {
        boolean wrap = done / SIZE % 2 == 0;
        int available = wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
        int before = bench.notifications(0);
        for (int flags : new int[] {0, BOTH, available ^ BOTH}) {
          ring.descriptor(done % SIZE, at, 1, 7, flags);
          bench.run();
          assertEquals(before, bench.notifications(0));
          assertEquals(flags, ring.flags(done % SIZE));
        }
        ring.descriptor(done % SIZE, at, 1, 7, available);
        bench.run();
        assertEquals(before + 1, bench.notifications(0));
        assertEquals(wrap ? BOTH : 0, ring.flags(done % SIZE) & BOTH);
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @Test
  void whatIsMarkedAgainWhileInFlightIsNotTakenAgain() {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = bench(device)) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < 3; i++) {
        driver.chain().readable(HELLO).writable(5).add();
      }
      driver.publish();
      bench.run();
      assertEquals(3, device.held.size());
      for (int flags : new int[] {0, VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED, BOTH}) {
        for (int i = 0; i < 6; i++) {
          driver.packedRing().flags(i, flags);
        }
        bench.run();
        assertEquals(3, device.held.size());
      }
      device.releaseWhenPolled = true;
      bench.run();
      assertEquals(3, driver.pollAll().size());
      assertEquals(0, bench.host().faults());
    }
  }

  /** A driver on another processor that makes available whatever the device has just used. */
  @ParameterizedTest
  @CsvSource({"true, false", "true, true", "false, false", "false, true"})
  void aBatchEndsEvenIfTheDriverNeverStops(boolean packed, boolean inOrder) {
    PuppetDevice device = PuppetDevice.echoing(8);
    DeviceBench.Builder builder = DeviceBench.of(device).queueSize(packed ? SIZE : 8);
    if (packed) {
      builder.packed();
    }
    if (inOrder) {
      builder.inOrder();
    }
    try (DeviceBench bench = builder.start()) {
      int[] taken = {0};
      ScriptedDriver driver = bench.driver(0);
      long at = bench.memory().allocate(8, 8);
      device.action =
          (queue, chain) -> {
            if (++taken[0] > 1000) {
              throw new AssertionError("it goes on and on");
            }
            PuppetDevice.echo(queue, chain);
            bait(driver, at, taken[0]);
          };
      bait(driver, at, 0);
      bench.run();
      assertEquals(
          packed ? FaultReason.RING_OVERRUN : FaultReason.AVAIL_IDX_JUMP, bench.brokenReason(0));
      assertTrue(taken[0] <= driver.size(), taken[0] + " buffers in one batch");
      assertEquals(1, bench.host().faults());
      device.action = PuppetDevice::echo;
      bench.restart();
      for (int i = 0; i < 3 * SIZE; i++) {
        echo(bench);
      }
    }
  }

  private static void bait(ScriptedDriver driver, long at, int number) {
    if (driver.isPacked()) {
      boolean wrap = number / SIZE % 2 == 0;
      driver.packedRing().descriptor(number % SIZE, at, 1, number, PackedRing.availableFlags(wrap));
    } else {
      driver.ring().descriptor(number % 8, at, 1, 0, 0);
      driver.ring().availEntry(number, number % 8);
      driver.ring().availIdx(number + 1);
    }
  }

  /** The same from a thread of its own: whatever comes of it, the owner gets away. */
  @Test
  void aThreadThatFlipsFlagsKeepsNobodyBusy() throws InterruptedException {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench = DeviceBench.of(device).packed().queueSize(SIZE).threaded().start()) {
      for (int round = 0; round < 20; round++) {
        PackedRawRing ring = bench.driver(0).packedRing();
        long at = bench.memory().allocate(8, 8);
        AtomicBoolean stop = new AtomicBoolean();
        int seed = round;
        Thread flipper = Thread.ofPlatform().start(() -> flip(ring, at, new Random(seed), stop));
        try {
          int faults = round + 1;
          bench.await(() -> bench.host().faults() == faults);
        } finally {
          stop.set(true);
          flipper.join();
        }
        assertTrue(bench.brokenReason(0) != FaultReason.DEVICE_ERROR, "a bug of the device");
        assertEquals(round + 1, bench.host().faults());
        bench.restart();
        bench.driver(0).chain().readable(HELLO).writable(5).submit();
        bench.awaitUsed(0, 1);
        assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
      }
    }
  }

  private static void flip(PackedRawRing ring, long at, Random random, AtomicBoolean stop) {
    int next = 0;
    while (!stop.get()) {
      int flags = random.nextInt(8) == 0 ? VIRTQ_DESC_F_NEXT : 0;
      boolean wrap = random.nextInt(16) == 0 ? random.nextBoolean() : next / SIZE % 2 == 0;
      int id = random.nextInt(64) == 0 ? 1 : next & 0xffff;
      ring.descriptor(next % SIZE, at, 1, id, flags | PackedRing.availableFlags(wrap));
      next = next + 1 == 2 * SIZE * 4096 ? 0 : next + 1;
    }
  }

  @Test
  void anyNumberIsABufferId() {
    try (DeviceBench bench = bench(PuppetDevice.echoing(8))) {
      ScriptedDriver driver = bench.driver(0);
      for (int id : new int[] {0, 1, SIZE, 63, 64, 0x7fff, 0x8000, 0xffff, 0xffff, 0}) {
        driver.chain().readable(HELLO).writable(5).id(id).submit();
        bench.run();
        ScriptedDriver.Used used = driver.poll();
        assertEquals(id, used.chain().head());
        assertArrayEquals(HELLO, used.bytes());
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @Test
  void ofATablesDescriptorsOnlyTheWriteFlagCounts() {
    try (DeviceBench bench = bench(PuppetDevice.echoing(8))) {
      ScriptedDriver driver = bench.driver(0);
      PackedRawRing ring = driver.packedRing();
      long out = bench.memory().allocate(8, 8);
      long in = bench.memory().allocate(8, 8);
      long table = bench.memory().allocate(48, 16);
      bench.memory().write(out, HELLO);
      MemorySegment bytes = bench.memory().slice(table, 48);
      int noise = 0xffff & ~VIRTQ_DESC_F_WRITE;
      ring.tableEntry(bytes, 0, out, 2, 0xffff, noise);
      ring.tableEntry(bytes, 16, out + 2, 3, 0x1234, noise & ~VIRTQ_DESC_F_NEXT);
      ring.tableEntry(bytes, 32, in, 5, 0, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT);
      int flags = VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_AVAIL;
      ring.descriptor(0, table, 48, 3, flags);
      bench.run();
      assertNull(bench.brokenReason(0));
      assertEquals(BOTH | VIRTQ_DESC_F_WRITE, ring.flags(0));
      assertEquals(3, ring.id(0));
      assertEquals(5, ring.len(0));
      assertArrayEquals(HELLO, bench.memory().read(in, 5));
    }
  }

  @Test
  void aTableMayBeLongerThanASmallQueue() {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench = bench(device)) {
      ScriptedDriver driver = bench.driver(0);
      ChainBuilder chain = driver.chain().indirect();
      for (int i = 0; i < 512; i++) {
        chain.readable((byte) i);
      }
      for (int i = 0; i < 512; i++) {
        chain.writable(1);
      }
      chain.submit();
      bench.run();
      assertEquals(512, driver.poll().length());
    }
  }

  /** What is reserved or was not negotiated must not lose a notification. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void anEventStructureThatMakesNoSenseLosesNothing(boolean eventIdx) {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing(8))
            .features(eventIdx ? Features.EVENT_IDX : Features.MODERN)
            .packed()
            .queueSize(SIZE)
            .start()) {
      PackedRawRing ring = bench.driver(0).packedRing();
      Random random = new Random(11);
      for (int i = 0; i < 20_000; i++) {
        int event = random.nextInt();
        int flags = event >>> 16 & 3;
        ring.driverEvent(event);
        int before = bench.notifications(0);
        bench.driver(0).chain().readableAt(64, 1).submit();
        bench.run();
        bench.driver(0).poll();
        int sent = bench.notifications(0) - before;
        if (flags == RING_EVENT_FLAGS_DISABLE) {
          assertEquals(0, sent);
        } else if (flags != RING_EVENT_FLAGS_DESC || !eventIdx) {
          assertEquals(1, sent, "flags " + flags);
        } else {
          int offset = event & PackedRing.WRAP - 1;
          boolean wrap = (event & PackedRing.WRAP) != 0;
          boolean now = offset == i % SIZE && wrap == (i / SIZE % 2 == 0);
          assertTrue(sent == 1 || !now, "event " + Integer.toHexString(event) + " after " + i);
          assertTrue(sent == 0 || now || offset >= SIZE, "for nothing after " + i);
        }
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @Test
  @Requirement(section = TABLE, text = "A device MUST NOT write to a device-readable buffer")
  @Requirement(
      section = TABLE,
      text =
          "A device MUST NOT change a descriptor after changing it's the VIRTQ_DESC_F_USED bit in"
              + " its flags.")
  void nothingIsWrittenButWritableBuffersAndOneUsedDescriptorForAList() {
    PuppetDevice device = PuppetDevice.echoing(8);
    device.action =
        (queue, chain) -> {
          assertTrue(chain.segment(0).isReadOnly());
          PuppetDevice.echo(queue, chain);
        };
    try (DeviceBench bench = bench(device)) {
      ScriptedDriver driver = bench.driver(0);
      TestChain list = driver.chain().readable(HELLO).writable(4).writable(40).submit();
      TestChain table = driver.chain().indirect().readable(HELLO).writable(40).submit();
      byte[] before = driver.packedRing().descriptorRing().toArray(ValueLayout.JAVA_BYTE);
      int driverEvent = driver.packedRing().driverEvent();
      bench.run();
      byte[] after = driver.packedRing().descriptorRing().toArray(ValueLayout.JAVA_BYTE);
      for (int i = 0; i < after.length; i++) {
        // len, id and flags of the first descriptor of each; never an address.
        boolean used = i / 16 == 0 || i / 16 == 3;
        assertTrue(before[i] == after[i] || used && i % 16 >= 8, "byte " + i);
      }
      assertEquals(driverEvent, driver.packedRing().driverEvent());
      assertArrayEquals(HELLO, list.readableBytes());
      assertArrayEquals(HELLO, table.readableBytes());
      assertEquals(2, driver.pollAll().size());
      echo(bench);
      byte[] later = driver.packedRing().descriptorRing().toArray(ValueLayout.JAVA_BYTE);
      for (int i = 0; i < 64; i++) {
        assertEquals(after[i], later[i], "byte " + i + " changed after it was used");
      }
    }
  }
}
