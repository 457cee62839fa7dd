// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The driver side of a queue, as a device sees it that keeps the rules. */
class DriverQueueTest {
  @ParameterizedTest
  @EnumSource
  @Requirement(
      section = "Split Virtqueues / Message Framing",
      text =
          "The driver MUST place any device-writable descriptor elements after any device-readable"
              + " descriptor elements.")
  void aBufferGoesThereAndComesBack(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.data.setString(0, "what the device may read");
      assertTrue(pair.add("token", 2, 3));
      assertEquals(1, pair.queue.inFlight());
      assertNull(pair.device.take(), "not published yet");
      assertFalse(pair.queue.hasUsed());
      assertTrue(pair.queue.kick());
      ScriptedDevice.Buffer buffer = pair.device.take();
      assertEquals(5, buffer.elements().size());
      for (int i = 0; i < 5; i++) {
        ScriptedDevice.Element element = buffer.elements().get(i);
        assertEquals(i >= 2, element.writable());
        assertEquals(QueuePair.ELEMENT, element.length());
        assertEquals(
            pair.memory.deviceAddress(pair.data) + i * QueuePair.ELEMENT, element.address());
      }
      assertEquals("what the device may read", new String(buffer.read()).substring(0, 24));
      buffer.write("written by the device".getBytes());
      assertNull(pair.queue.get());
      pair.device.use(buffer, 21);
      assertTrue(pair.queue.hasUsed());
      assertEquals("token", pair.queue.get());
      assertEquals(21, pair.queue.writtenLength());
      assertEquals("written by the device", pair.data.getString(32).substring(0, 21));
      assertNull(pair.queue.get());
      assertEquals(8, pair.queue.freeCount());
      assertEquals(0, pair.queue.inFlight());
      assertEquals(1, pair.queue.counters().added());
      assertEquals(1, pair.queue.counters().used());
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void whatWasAddedBeforeTheDeviceKnowsTheQueueIsSeen(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.submit("early");
      assertEquals(0, pair.queue.layout().start());
      pair.connect();
      assertEquals(1, pair.useAll());
      assertEquals("early", pair.queue.get());
    }
  }

  @ParameterizedTest
  @EnumSource
  void onlyReadableAndOnlyWritableBuffers(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      assertTrue(pair.add("out", 2, 0));
      assertTrue(pair.add("in", 0, 2));
      assertTrue(pair.queue.kick());
      ScriptedDevice.Buffer out = pair.device.take();
      ScriptedDevice.Buffer in = pair.device.take();
      assertEquals(32, out.readableLength());
      assertEquals(0, out.writableLength());
      assertEquals(0, in.readableLength());
      assertEquals(32, in.writableLength());
      pair.device.use(out, 0);
      pair.device.use(in, 32);
      assertEquals("out", pair.queue.get());
      assertEquals(0, pair.queue.writtenLength());
      assertEquals("in", pair.queue.get());
      assertEquals(32, pair.queue.writtenLength());
    }
  }

  @Test
  void whatIsNoBufferIsRefused() {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 4);
        Arena foreign = Arena.ofConfined()) {
      DriverBuffer buffer = pair.buffer.clear();
      assertThrows(IllegalArgumentException.class, () -> pair.queue.add(buffer, "token"));
      assertThrows(IllegalArgumentException.class, () -> pair.add(null, 1, 0));
      assertThrows(IllegalArgumentException.class, () -> pair.add("too long", 3, 2));
      assertThrows(
          IllegalArgumentException.class, () -> buffer.clear().readable(foreign.allocate(8)));
      assertThrows(
          IllegalArgumentException.class,
          () -> buffer.clear().writable(MemorySegment.ofArray(new byte[8])));
      assertThrows(
          IllegalArgumentException.class, () -> buffer.clear().readable(pair.data.asSlice(0, 0)));
      assertThrows(IllegalArgumentException.class, () -> buffer.clear().readable(0, -1));
      assertThrows(IllegalArgumentException.class, () -> buffer.clear().readable(0, 1L << 32));
      buffer.clear().writable(pair.data);
      assertThrows(IllegalStateException.class, () -> buffer.readable(pair.data));
      DriverBuffer small = new DriverBuffer(pair.memory, 1).readable(pair.data);
      assertThrows(IllegalStateException.class, () -> small.writable(pair.data));
      assertThrows(IllegalArgumentException.class, () -> new DriverBuffer(pair.memory, 0));
      assertEquals(4, pair.queue.freeCount());
      assertEquals(0, pair.queue.inFlight());
    }
  }

  @Test
  @Requirement(
      section = "Split Virtqueues / The Virtqueue Descriptor Table",
      text =
          "Drivers MUST NOT add a descriptor chain longer than 2^32 bytes in total; this implies"
              + " that loops in the descriptor chain are forbidden!")
  void aBufferIsNoLongerThanADescriptorChainMayBe() {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 4)) {
      DriverBuffer buffer = pair.buffer.clear();
      buffer.readable(0, 0xffff_ffffL).writable(0, 1);
      assertThrows(IllegalArgumentException.class, () -> buffer.writable(0, 1));
      assertEquals(1, buffer.writableBytes());
      assertEquals(2, buffer.count());
      buffer.clear().writable(0, 1L << 31).writable(0, 1L << 31);
      assertEquals(1L << 32, buffer.writableBytes());
      assertThrows(IllegalArgumentException.class, () -> buffer.writable(0, 1));
    }
  }

  @Test
  void theFreeListRunsOutAndRecovers() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 8)) {
      for (int round = 0; round < 3; round++) {
        assertTrue(pair.add("a", 2, 1));
        assertTrue(pair.add("b", 1, 2));
        assertEquals(2, pair.queue.freeCount());
        assertFalse(pair.add("c", 1, 2), "3 of 2");
        assertTrue(pair.add("d", 1, 1));
        assertEquals(0, pair.queue.freeCount());
        assertFalse(pair.add("e", 1, 0));
        pair.queue.kick();
        assertEquals(3, pair.useAll());
        assertEquals(List.of("a", "b", "d"), pair.getAll());
        assertEquals(8, pair.queue.freeCount());
      }
    }
  }

  @Test
  void anIndirectBufferTakesOneDescriptor() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.INDIRECT, 8)) {
      for (int i = 0; i < 8; i++) {
        assertTrue(pair.add(i, 1, 7));
        assertEquals(7 - i, pair.queue.freeCount());
      }
      assertFalse(pair.add("one more", 1, 7));
      assertFalse(pair.add("one more", 1, 0));
      pair.queue.kick();
      List<ScriptedDevice.Buffer> buffers = pair.device.takeAll();
      assertEquals(8, buffers.size());
      for (ScriptedDevice.Buffer buffer : buffers) {
        assertTrue(buffer.isIndirect());
        assertEquals(8, buffer.elements().size());
        pair.device.use(buffer, 0);
      }
      assertEquals(8, pair.getAll().size());
      assertEquals(8, pair.queue.counters().indirect());
    }
  }

  @Test
  void indirectTablesAreForBuffersThatPay() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.INDIRECT, 16)) {
      // Up to a quarter of the table is for chains in the table itself.
      assertTrue(pair.add("direct", 1, 1));
      assertTrue(pair.add("direct", 1, 1));
      assertTrue(pair.add("indirect", 1, 1));
      assertTrue(pair.add("single", 1, 0));
      pair.queue.kick();
      List<Boolean> kinds =
          pair.device.takeAll().stream().map(ScriptedDevice.Buffer::isIndirect).toList();
      assertEquals(List.of(false, false, true, false), kinds);
      assertEquals(16 - 2 - 2 - 1 - 1, pair.queue.freeCount());
      assertEquals(1, pair.queue.counters().indirect());
    }
  }

  @Test
  @Requirement(
      section = "Split Virtqueues / Indirect Descriptors",
      text =
          "The driver MUST NOT set the VIRTQ_DESC_F_INDIRECT flag unless the"
              + " VIRTIO_F_INDIRECT_DESC feature was negotiated.")
  @Requirement(
      section = "Split Virtqueues / Indirect Descriptors",
      text =
          "The driver MUST NOT set the VIRTQ_DESC_F_INDIRECT flag within an indirect descriptor"
              + " (ie. only one table per descriptor).")
  @Requirement(
      section = "Split Virtqueues / Indirect Descriptors",
      text =
          "A driver MUST NOT create a descriptor chain longer than the Queue Size of the device.")
  @Requirement(
      section = "Split Virtqueues / Indirect Descriptors",
      text = "A driver MUST NOT set both VIRTQ_DESC_F_INDIRECT and VIRTQ_DESC_F_NEXT in flags.")
  void everyShapeOfBufferKeepsTheRules() throws PeerFault {
    for (DriverSession session : DriverSession.values()) {
      try (QueuePair pair = new QueuePair(session, 16, 12)) {
        int indirect = 0;
        for (int count = 1; count <= 20; count++) {
          if (count > 16) {
            int length = count;
            assertThrows(IllegalArgumentException.class, () -> pair.add("no", length, 0));
            continue;
          }
          // The scripted device checks all four rules.
          assertTrue(pair.add(count, count / 2, count - count / 2));
          pair.queue.kick();
          ScriptedDevice.Buffer buffer = pair.device.take();
          assertEquals(count, buffer.elements().size());
          indirect += buffer.isIndirect() ? 1 : 0;
          pair.device.use(buffer, 0);
          assertEquals(count, pair.queue.get());
        }
        // Longer than a quarter of a split table or than 1, and no longer than a table of its own.
        int pays = session.isPacked() ? 12 - 1 : 12 - 4;
        assertEquals(session.isIndirect() ? pays : 0, indirect, session.name());
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#anyOrder")
  void buffersComeBackInAnyOrder(DriverSession session) throws PeerFault {
    Random random = new Random(4);
    try (QueuePair pair = new QueuePair(session, 32)) {
      for (int round = 0; round < 200; round++) {
        List<Object> given = new ArrayList<>();
        int count = 0;
        while (pair.add(count, random.nextInt(3), 1 + random.nextInt(3))) {
          given.add(count++);
        }
        pair.queue.kick();
        List<ScriptedDevice.Buffer> buffers = new ArrayList<>(pair.device.takeAll());
        assertEquals(count, buffers.size());
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < count; i++) {
          order.add(i);
        }
        Collections.shuffle(order, random);
        for (int i : order) {
          pair.device.use(buffers.get(i), i % 16);
        }
        for (int i : order) {
          assertEquals(given.get(i), pair.queue.get());
          assertEquals(i % 16, pair.queue.writtenLength());
        }
        assertEquals(32, pair.queue.freeCount());
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  @Requirement(
      section = "Split Virtqueues / The Virtqueue Available Ring",
      text =
          "A driver MUST NOT decrement the available idx on a virtqueue (ie. there is no way to"
              + " “unexpose” buffers).")
  void indexesWrapAround(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      int done = 0;
      for (int round = 0; done < 140_000; round++) {
        int batch = round % 4 + 1;
        int before = pair.device.ring().availIdx();
        for (int i = 0; i < batch; i++) {
          assertTrue(pair.add(done + i, 1, 1));
        }
        assertEquals(before, pair.device.ring().availIdx());
        assertTrue(pair.device.enableNotifications());
        assertTrue(pair.queue.kickPrepare());
        assertEquals((before + batch) & 0xffff, pair.device.ring().availIdx());
        assertTrue(pair.queue.enableCallback());
        for (int i = 0; i < batch; i++) {
          boolean wanted = pair.device.use(pair.device.take(), i);
          assertEquals(i == 0 || !session.hasEventIdx(), wanted);
        }
        for (int i = 0; i < batch; i++) {
          assertEquals(done + i, pair.queue.get());
          assertEquals(i, pair.queue.writtenLength());
        }
        assertNull(pair.queue.get());
        done += batch;
      }
      assertEquals(done, pair.queue.counters().used());
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void whatTheDeviceScribblesConfusesNobody(DriverSession session) throws PeerFault {
    Random random = new Random(9);
    try (QueuePair pair = new QueuePair(session, 16)) {
      for (int round = 0; round < 500; round++) {
        int count = 0;
        while (pair.add(count, 1, random.nextInt(4))) {
          count++;
        }
        pair.queue.kick();
        List<ScriptedDevice.Buffer> buffers = pair.device.takeAll();
        assertEquals(count, buffers.size());
        byte[] noise = new byte[16 * 16];
        random.nextBytes(noise);
        pair.device.ring().descriptorTable().copyFrom(MemorySegment.ofArray(noise));
        // All of the available ring that the driver does not write anew.
        for (int i = 0; i < 16; i++) {
          pair.device.ring().availEntry(i, random.nextInt());
        }
        pair.device.ring().availIdx(random.nextInt());
        for (ScriptedDevice.Buffer buffer : buffers) {
          pair.device.use(buffer, 0);
        }
        assertEquals(count, pair.getAll().size());
        assertEquals(16, pair.queue.freeCount());
      }
      assertFalse(pair.queue.isBroken());
    }
  }

  @ParameterizedTest
  @EnumSource
  void whatWasNeverUsedIsDetachedOnce(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      assertTrue(pair.add("published", 1, 1));
      pair.queue.kick();
      pair.device.use(pair.device.take(), 0);
      assertTrue(pair.add("not taken", 1, 2));
      pair.queue.kick();
      assertTrue(pair.add("not published", 1, 0));
      assertEquals("published", pair.queue.get());
      List<Object> detached = pair.detachAll();
      assertEquals(2, detached.size());
      assertTrue(detached.containsAll(List.of("not taken", "not published")));
      assertEquals(8, pair.queue.freeCount());
      assertEquals(0, pair.queue.inFlight());
      assertNull(pair.queue.detachUnused());
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#splitAnyOrder")
  @Requirement(
      section = "Device Cleanup",
      text =
          "A driver MUST NOT alter virtqueue entries for exposed buffers, i.e., buffers which have"
              + " been made available to the device (and not been used by the device) of a live"
              + " virtqueue.")
  void whatIsExposedStaysAsItIs(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 32)) {
      assertTrue(pair.add("exposed", 2, 2));
      pair.queue.kick();
      ScriptedDevice.Buffer exposed = pair.device.take();
      RawRing.Descriptor before = pair.device.ring().descriptor(exposed.head());
      for (int i = 0; i < 1000; i++) {
        assertTrue(pair.add(i, i % 3, 1 + i % 5));
        pair.queue.kick();
        pair.device.use(pair.device.take(), 0);
        assertEquals(i, pair.queue.get());
        assertEquals(before, pair.device.ring().descriptor(exposed.head()));
      }
      pair.queue.breakQueue(new PeerFault(FaultReason.DEVICE_SILENT, 0));
      assertEquals(before, pair.device.ring().descriptor(exposed.head()));
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  @Requirement(
      section = "Virtqueue Re-enable",
      text =
          "When re-enabling a queue, the driver MUST configure the queue resources as during"
              + " initial virtqueue discovery, but optionally with different parameters.")
  void aResetQueueStartsAnewWithAnotherSize(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 16)) {
      for (int size : new int[] {16, 4, 1, 8, 16}) {
        assertTrue(pair.add("left", 1, 0));
        pair.queue.kick();
        assertThrows(IllegalStateException.class, () -> pair.queue.reset(size));
        assertEquals(List.of("left"), pair.detachAll());
        pair.queue.breakQueue(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, 0));
        pair.queue.reset(size);
        assertFalse(pair.queue.isBroken());
        assertEquals(size, pair.queue.size());
        assertEquals(16, pair.queue.maxSize());
        assertEquals(size, pair.queue.freeCount());
        assertEquals(0, pair.queue.layout().start());
        assertEquals(0, pair.queue.layout().descriptorArea() & 15);
        assertEquals(0, pair.queue.layout().deviceArea() & 3);
        pair.connect();
        assertEquals(0, pair.device.ring().usedIdx());
        assertEquals(0, pair.device.ring().availIdx());
        for (int i = 0; i < 3 * size; i++) {
          assertTrue(pair.add(i, 1, 0));
          pair.queue.kick();
          assertEquals(1, pair.useAll());
          assertEquals(i, pair.queue.get());
        }
      }
      assertThrows(IllegalArgumentException.class, () -> pair.queue.reset(32));
      assertThrows(IllegalArgumentException.class, () -> pair.queue.reset(3));
      assertThrows(IllegalArgumentException.class, () -> pair.queue.reset(0));
    }
  }

  @Test
  void sizesFromOneToTheLargest() throws PeerFault {
    for (DriverSession session : DriverSession.values()) {
      for (int size : new int[] {1, 2, session.isPacked() ? 32767 : 32768, 32768}) {
        try (QueuePair pair = new QueuePair(session, size, 2)) {
          for (int round = 0; round < 3; round++) {
            for (int i = 0; i < size; i++) {
              assertTrue(pair.add(i, 1, 0));
            }
            assertEquals(0, pair.queue.freeCount());
            assertFalse(pair.add("full", 1, 0));
            pair.queue.kick();
            assertEquals(size, pair.useAll());
            for (int i = 0; i < size; i++) {
              assertEquals(i, pair.queue.get());
            }
            assertNull(pair.queue.get());
            assertEquals(size, pair.queue.freeCount());
          }
        }
      }
    }
  }

  @Test
  void aQueueGivesAllItsMemoryBack() throws IOException {
    for (DriverSession session : DriverSession.values()) {
      try (QueuePair pair = new QueuePair(session, 64)) {
        pair.memory.release(pair.data);
        assertTrue(pair.memory.allocated() > 0);
        pair.queue.release();
        assertEquals(0, pair.memory.allocated(), session.name());
        assertEquals(1, pair.memory.regions().size());
        // In one piece.
        assertNotNull(pair.memory.limit(0).allocate(1 << 20, 4096));
      }
    }
  }

  @Test
  void theWholeLengthOfALongBufferIsTold() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 4)) {
      // Nobody reads this memory: the device only says that it wrote it.
      pair.buffer.clear().writable(0x1000, 0xffff_ffffL);
      assertTrue(pair.queue.add(pair.buffer, "long"));
      pair.queue.kick();
      pair.device.put(pair.device.ring().availEntry(0), 0xffff_ffffL);
      pair.device.publish();
      assertEquals("long", pair.queue.get());
      assertEquals(0xffff_ffffL, pair.queue.writtenLength());
      assertArrayEquals(new Object[] {}, pair.detachAll().toArray());
    }
  }
}
