// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_AVAIL;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.PackedRing;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is particular to the driver side of a packed queue: positions, laps, lists, sizes. */
class PackedDriverQueueTest {
  private static final String LISTS = "Packed Virtqueues / Scatter-Gather Support";
  private static final String TABLES = "Packed Virtqueues / Indirect Descriptors";
  private static final String SESSIONS = "io.jvirtio.testkit.DriverSession#packed";

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 7, 8, 100, 32767, 32768})
  @Requirement(
      section = LISTS,
      text = "A driver MUST NOT create a descriptor list longer than the Queue Size.")
  @Requirement(
      section = LISTS,
      text = "A driver MUST NOT create a descriptor list longer than allowed by the device.")
  @Requirement(
      section = LISTS,
      text =
          "A driver MUST NOT depend on the device to use more descriptors to be able to write out"
              + " all descriptors in a list. A driver MUST make sure there's enough space in the"
              + " ring for the whole list before making the first descriptor in the list available"
              + " to the device.")
  void aListMayTakeTheWholeRingAndNoMore(int size) throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED, size)) {
      int list = Math.min(size, 64);
      for (int round = 0; round < 5; round++) {
        for (int done = 0; done + list <= size; done += list) {
          assertTrue(pair.add(done, list / 2, list - list / 2));
        }
        int rest = size % list;
        assertEquals(rest, pair.queue.freeCount());
        if (rest + 1 <= list) {
          assertFalse(pair.add("no room", rest + 1, 0));
        }
        assertEquals(rest, pair.queue.freeCount());
        pair.queue.kick();
        assertEquals(size / list, pair.useAll());
        assertEquals(size / list, pair.getAll().size());
        assertEquals(size, pair.queue.freeCount());
        // So that the next round begins elsewhere in the ring.
        pair.submitOne(round);
      }
      if (size < 64) {
        assertThrows(IllegalArgumentException.class, () -> pair.add("longer", size + 1, 0));
      }
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  @Requirement(
      section = LISTS,
      text =
          "The driver MUST place any device-writable descriptor elements after any device-readable"
              + " descriptor elements.")
  @Requirement(
      section = TABLES,
      text =
          "The driver MUST NOT set the VIRTQ_DESC_F_INDIRECT flag unless the"
              + " VIRTIO_F_INDIRECT_DESC feature was negotiated.")
  @Requirement(
      section = TABLES,
      text = "The driver MUST NOT set any flags except DESC_F_WRITE within an indirect descriptor.")
  @Requirement(
      section = TABLES,
      text = "A driver MUST NOT create a descriptor chain longer than allowed by the device.")
  @Requirement(
      section = TABLES,
      text =
          "A driver MUST NOT write direct descriptors with VIRTQ_DESC_F_INDIRECT set in a"
              + " scatter-gather list linked by VIRTQ_DESC_F_NEXT. flags.")
  void everyShapeOfBufferKeepsTheRulesInAnySize(DriverSession session) throws PeerFault {
    for (int size : new int[] {1, 2, 3, 7, 13}) {
      try (QueuePair pair = new QueuePair(session, size, 5)) {
        for (int i = 0; i < 500; i++) {
          int count = i % size + 1;
          // The scripted device checks all of these rules.
          assertTrue(pair.add(i, i % (count + 1), count - i % (count + 1)));
          pair.queue.kick();
          ScriptedDevice.Buffer buffer = pair.device.take();
          assertEquals(count, buffer.elements().size());
          assertEquals(session.isIndirect() && count > 1 && count <= 5, buffer.isIndirect());
          pair.device.use(buffer, 0);
          assertEquals(i, pair.queue.get());
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  @Requirement(
      section = LISTS,
      text =
          "A driver MUST NOT make the first descriptor in the list available before all subsequent"
              + " descriptors comprising the list are made available.")
  void theFirstDescriptorOfABatchIsMadeAvailableLast(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 7)) {
      for (int round = 0; round < 50; round++) {
        PackedRawRing ring = pair.device.packedRing();
        int first = pair.device.nextAvail();
        int before = ring.flags(first);
        assertTrue(pair.add("list", 1, 2));
        assertTrue(pair.add("another", 2, 0));
        assertEquals(before, ring.flags(first), "not seen yet");
        assertEquals(0, pair.device.available());
        pair.queue.kickPrepare();
        assertEquals(2, pair.device.available());
        assertEquals(2, pair.useAll());
        assertEquals(List.of("list", "another"), pair.getAll());
      }
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  @Requirement(
      section = "Packed Virtqueues / The Virtqueue Descriptor Table",
      text =
          "A driver MUST NOT change a descriptor unless it observes the VIRTQ_DESC_F_USED bit in"
              + " its flags being changed.")
  @Requirement(
      section = "Packed Virtqueues / The Virtqueue Descriptor Table",
      text =
          "A driver MUST NOT change a descriptor after changing the VIRTQ_DESC_F_AVAIL bit in its"
              + " flags.")
  void whatIsExposedStaysAsItIs(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 7)) {
      PackedRawRing ring = pair.device.packedRing();
      for (int i = 0; i < 100; i++) {
        assertTrue(pair.add("exposed", 1, 2));
        pair.queue.kick();
        byte[] before = ring.descriptorRing().toArray(ValueLayout.JAVA_BYTE);
        int from = pair.device.nextAvail();
        ScriptedDevice.Buffer exposed = pair.device.take();
        int taken = exposed.isIndirect() ? 1 : 3;
        while (pair.add("more", 1, 1)) {
          pair.queue.kick();
        }
        byte[] after = ring.descriptorRing().toArray(ValueLayout.JAVA_BYTE);
        for (int j = 0; j < taken; j++) {
          int at = (from + j) % 7;
          for (int k = 16 * at; k < 16 * at + 16; k++) {
            assertEquals(before[k], after[k], "descriptor " + at);
          }
        }
        pair.device.use(exposed, 0);
        pair.useAll();
        pair.getAll();
      }
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void whatTheDeviceScribblesConfusesNobody(DriverSession session) throws PeerFault {
    Random random = new Random(9);
    try (QueuePair pair = new QueuePair(session, 13)) {
      for (int round = 0; round < 500; round++) {
        int count = 0;
        while (pair.add(count, 1, random.nextInt(4))) {
          count++;
        }
        pair.queue.kick();
        List<ScriptedDevice.Buffer> buffers = pair.device.takeAll();
        assertEquals(count, buffers.size());
        // All but the flags, which say who is whose turn.
        for (int i = 0; i < 13; i++) {
          pair.device.packedRing().body(i, random.nextLong(), random.nextInt(), random.nextInt());
        }
        pair.device.packedRing().driverEvent(random.nextInt());
        while (!buffers.isEmpty()) {
          int next = session.isInOrder() ? 0 : random.nextInt(buffers.size());
          pair.device.use(buffers.remove(next), 0);
        }
        assertEquals(count, pair.getAll().size());
        assertEquals(13, pair.queue.freeCount());
      }
      assertFalse(pair.queue.isBroken());
    }
  }

  @Test
  void lapsGoOnForEver() throws PeerFault {
    for (int size : new int[] {1, 3, 7, 100}) {
      try (QueuePair pair = new QueuePair(DriverSession.PACKED_EVENT_IDX, size)) {
        for (int i = 0; i < 20_000; i++) {
          int count = 1 + i % Math.min(size, 5);
          assertTrue(pair.add(i, 0, count));
          assertTrue(pair.device.enableNotifications());
          assertTrue(pair.queue.kickPrepare());
          assertTrue(pair.queue.enableCallback());
          assertTrue(pair.device.use(pair.device.take(), i % 16));
          assertEquals(i, pair.queue.get());
          assertEquals(i % 16, pair.queue.writtenLength());
          assertNull(pair.queue.get());
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void aResetQueueStartsAnewWithAnotherSize(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 100)) {
      for (int size : new int[] {100, 3, 1, 7, 64, 100}) {
        assertTrue(pair.add("left", 1, 0));
        pair.queue.kick();
        assertThrows(IllegalStateException.class, () -> pair.queue.reset(size));
        assertEquals(List.of("left"), pair.detachAll());
        pair.queue.breakQueue(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, 0));
        pair.queue.reset(size);
        assertFalse(pair.queue.isBroken());
        assertEquals(size, pair.queue.size());
        assertEquals(100, pair.queue.maxSize());
        assertEquals(size, pair.queue.freeCount());
        assertEquals(QueueLayout.PACKED_START, pair.queue.layout().start());
        pair.connect();
        for (int i = 0; i < 3 * size; i++) {
          pair.submitOne(i);
        }
      }
      for (int size : new int[] {101, 0, -1}) {
        assertThrows(IllegalArgumentException.class, () -> pair.queue.reset(size));
      }
    }
  }

  @Test
  void aDeviceThatStopsIsNotFollowedOutOfTheRing() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED, 16)) {
      assertTrue(pair.add("long", 13, 0));
      pair.queue.kick();
      pair.detachAll();
      pair.queue.reset(4);
      pair.connect();
      // As long a list as this id once had does not fit any more.
      PackedRawRing ring = pair.device.packedRing();
      ring.used(0, 0, 0);
      ring.flags(0, PackedRing.usedFlags(true));
      int outside = 13 - 4;
      assertFalse(pair.queue.hasUsedUpTo(outside));
      assertFalse(pair.queue.hasUsedUpTo(outside | PackedRing.WRAP));
      assertTrue(pair.queue.hasUsedUpTo(PackedRing.WRAP));
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  @Requirement(
      section = "Packed Virtqueues",
      text =
          "The driver MUST ensure that the physical address of the first byte of each virtqueue"
              + " part is a multiple of the specified alignment value in the above table.")
  void everyPartIsAlignedAndZero(DriverSession session) throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory()) {
      // Memory that was used before.
      MemorySegment dirt = memory.allocate(1 << 19, 64);
      dirt.fill((byte) 0xff);
      memory.release(dirt);
      for (int size = 1; size <= 4096; size += 1 + size / 3) {
        memory.allocate(64, 64);
        DriverQueue queue =
            DriverQueue.create(QueuePair.options(session, size, 2, 0), memory, it -> {});
        QueueLayout layout = queue.layout();
        assertEquals(size, layout.size());
        assertEquals(0, layout.descriptorArea() % PackedRing.DESC_ALIGN);
        assertEquals(0, layout.driverArea() % PackedRing.EVENT_ALIGN);
        assertEquals(0, layout.deviceArea() % PackedRing.EVENT_ALIGN);
        PackedRawRing ring = new PackedRawRing(memory, layout);
        MemorySegment zeros = MemorySegment.ofArray(new byte[16 * size]);
        assertEquals(-1, ring.descriptorRing().mismatch(zeros));
        assertEquals(0, ring.driverEvent());
        assertEquals(0, ring.deviceEvent());
      }
    }
  }

  @Test
  void byByte() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED_INDIRECT, 3, 2)) {
      PackedRawRing ring = pair.device.packedRing();
      pair.buffer.clear().readable(0x0102_0304_0506_0708L, 0x11121314L);
      assertTrue(pair.queue.add(pair.buffer, "out"));
      pair.buffer.clear().writable(0x99, 0x1516);
      assertTrue(pair.queue.add(pair.buffer, "in"));
      pair.queue.kick();
      assertBytes("0807060504030201 14131211 0000 8000", ring, 0);
      assertBytes("9900000000000000 16150000 0100 8200", ring, 1);
      ring.used(0, 0x20, 1);
      ring.flags(0, 0x8082);
      ring.used(1, 0x7777, 0);
      ring.flags(1, 0x8080);
      assertEquals("in", pair.queue.get());
      assertEquals(0x20, pair.queue.writtenLength());
      assertEquals("out", pair.queue.get());
      assertTrue(pair.add("table", 1, 1));
      pair.buffer.clear().readable(1, 1);
      assertTrue(pair.queue.add(pair.buffer, "second lap"));
      pair.queue.kick();
      assertEquals(VIRTQ_DESC_F_AVAIL | PackedRing.VIRTQ_DESC_F_INDIRECT, ring.flags(2));
      assertEquals(32, ring.len(2));
      assertEquals(PackedRing.VIRTQ_DESC_F_USED, ring.flags(0));
      MemorySegment table = pair.memory.slice(ring.descriptor(2).addr(), 32);
      assertEquals(0, ring.tableEntry(table, 0).flags());
      assertEquals(VIRTQ_DESC_F_WRITE, ring.tableEntry(table, 16).flags());
    }
  }

  private static void assertBytes(String hex, PackedRawRing ring, int position) {
    byte[] expected = HexFormat.of().parseHex(hex.replace(" ", ""));
    assertArrayEquals(
        expected, ring.descriptorRing().asSlice(16L * position, 16).toArray(ValueLayout.JAVA_BYTE));
  }

  @Test
  void whatTheDeviceLeavesInAUsedDescriptorIsIgnored() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED, 7)) {
      PackedRawRing ring = pair.device.packedRing();
      for (int i = 0; i < 100; i++) {
        assertTrue(pair.add(i, 1, 2));
        pair.queue.kick();
        int at = pair.device.nextUsed();
        boolean wrap = pair.device.usedWrap();
        ScriptedDevice.Buffer buffer = pair.device.take();
        // NEXT and all other flags are reserved here; without WRITE so is the length.
        int noise = 0xffff & ~(VIRTQ_DESC_F_WRITE | PackedRing.usedFlags(true));
        ring.body(at, -1, 0xffff_ffffL, buffer.head());
        ring.flags(at, noise | VIRTQ_DESC_F_NEXT | PackedRing.usedFlags(wrap));
        assertEquals(i, pair.queue.get());
        assertEquals(0, pair.queue.writtenLength());
        pair.device.put(buffer.head(), 0);
      }
    }
  }

  /** As QEMU's devices do it. */
  @Test
  void aLengthThatFitsIsTakenWithoutTheFlag() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED, 7)) {
      PackedRawRing ring = pair.device.packedRing();
      assertTrue(pair.add("a", 1, 1));
      pair.queue.kick();
      int at = pair.device.nextUsed();
      boolean wrap = pair.device.usedWrap();
      ScriptedDevice.Buffer buffer = pair.device.take();
      ring.body(at, -1, 3, buffer.head());
      ring.flags(at, PackedRing.usedFlags(wrap));
      assertEquals("a", pair.queue.get());
      assertEquals(3, pair.queue.writtenLength());
    }
  }

  @Test
  void sizesThatCannotBeAreRefused() {
    for (int size : new int[] {-8, 0, 32769, 65536}) {
      assertThrows(
          IllegalArgumentException.class,
          () -> QueuePair.options(DriverSession.PACKED, size, 1, 0));
    }
  }
}
