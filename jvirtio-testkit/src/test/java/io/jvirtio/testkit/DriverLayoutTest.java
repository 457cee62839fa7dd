// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.SplitRing;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Where a driver's split queue lies in memory, and in which bytes. */
class DriverLayoutTest {
  /**
   * By hand: the used ring follows 16 n + 2 (3 + n) bytes, rounded up; its own 6 + 8 n bytes are
   * rounded up as well, as virtq_size() of the specification has it.
   */
  @ParameterizedTest
  @CsvSource({
    "1, 4096, 4096, 8192",
    "2, 4096, 4096, 8192",
    "8, 4096, 4096, 8192",
    "128, 4096, 4096, 8192",
    "256, 4096, 8192, 12288",
    "512, 4096, 12288, 20480",
    "1024, 4096, 20480, 32768",
    "32768, 4096, 593920, 860160",
    "1, 4, 24, 40",
    "8, 64, 192, 320",
    "128, 32, 2336, 3392",
    "256, 1024, 5120, 8192",
    "256, 8192, 8192, 16384"
  })
  void legacySizes(int size, int align, long usedOffset, long bytes) {
    assertEquals(usedOffset, SplitRing.legacyUsedOffset(size, align));
    assertEquals(bytes, SplitRing.vringSize(size, align));
  }

  @ParameterizedTest
  @CsvSource({"1, 4096", "8, 4096", "256, 4096", "1024, 4096", "8, 64", "128, 32", "256, 8192"})
  @Requirement(
      section = "Split Virtqueues / Legacy Interfaces: A Note on Virtqueue Layout",
      text =
          "When using the legacy interface, both transitional devices and drivers MUST use the"
              + " following virtqueue layout structure to locate elements of the virtqueue")
  @Requirement(
      section = "Split Virtqueues / Legacy Interfaces: A Note on Virtqueue Layout",
      text =
          "When using the legacy interface, the transitional driver MUST retrieve the Queue Size"
              + " field from the device and MUST allocate the total number of bytes for the"
              + " virtqueue according to the following formula")
  void aLegacyQueueIsOnePiece(int size, int align) throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory()) {
      memory.allocate(64, 64);
      long before = memory.allocated();
      DriverQueue queue =
          DriverQueue.create(
              QueuePair.options(DriverSession.LEGACY, size, 1, align), memory, it -> {});
      for (int now = size; now >= 1; now /= 2) {
        queue.reset(now);
        QueueLayout layout = queue.layout();
        assertEquals(0, layout.descriptorArea() % 4096, "known to the device by its page");
        assertEquals(16L * now, layout.driverArea() - layout.descriptorArea());
        long used = layout.deviceArea() - layout.descriptorArea();
        assertEquals(0, used % align);
        assertTrue(used >= 18L * now + 6 && used < 18L * now + 6 + align);
      }
      assertTrue(memory.allocated() - before >= SplitRing.vringSize(size, align));
      assertTrue(memory.allocated() - before < SplitRing.vringSize(size, align) + 64);
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  @Requirement(
      section = "Split Virtqueues",
      text =
          "The driver MUST ensure that the physical address of the first byte of each virtqueue"
              + " part is a multiple of the specified alignment value in the above table.")
  @Requirement(
      section = "Split Virtqueues / Available Buffer Notification Suppression",
      text =
          "The driver MUST initialize flags in the used ring to 0 when allocating the used ring.")
  void everyPartIsAlignedAndZero(DriverSession session) throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory()) {
      // Memory that was used before.
      MemorySegment dirt = memory.allocate(1 << 19, 64);
      dirt.fill((byte) 0xff);
      memory.release(dirt);
      for (int size = 1; size <= 4096; size *= 2) {
        memory.allocate(64, 64);
        int align = session.isLegacy() ? 4096 : 0;
        DriverQueue queue =
            DriverQueue.create(QueuePair.options(session, size, 2, align), memory, it -> {});
        QueueLayout layout = queue.layout();
        assertEquals(size, layout.size());
        assertEquals(0, layout.start());
        assertEquals(0, layout.descriptorArea() % SplitRing.DESC_ALIGN);
        assertEquals(0, layout.driverArea() % SplitRing.AVAIL_ALIGN);
        assertEquals(0, layout.deviceArea() % SplitRing.USED_ALIGN);
        RawRing ring = new RawRing(memory, layout, session.order());
        assertEquals(-1, ring.usedRing().mismatch(zeros(ring.usedRing().byteSize())));
        assertEquals(-1, ring.availableRing().mismatch(zeros(ring.availableRing().byteSize())));
        if (size % 2 == 0) {
          queue.release();
        }
      }
    }
  }

  private static MemorySegment zeros(long bytes) {
    return MemorySegment.ofArray(new byte[(int) bytes]);
  }

  @Test
  @Requirement(
      section = "Split Virtqueues / Legacy Interfaces: A Note on Virtqueue Endianness",
      text =
          "Note that when using the legacy interface, transitional devices and drivers MUST use the"
              + " native endian of the guest as the endian of fields and in the virtqueue.")
  void aBigEndianSessionByByte() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.LEGACY_BIG_ENDIAN, 8)) {
      pair.buffer.clear().readable(0x0102_0304_0506_0708L, 0x11121314L).writable(0x99, 0x1516);
      assertTrue(pair.queue.add(pair.buffer, "direct"));
      RawRing ring = pair.device.ring();
      assertBytes("0102030405060708 11121314 0001 0001", ring.descriptorTable(), 0);
      assertBytes("0000000000000099 00001516 0002 0000", ring.descriptorTable(), 16);
      assertTrue(pair.add("indirect", 0, 3));
      byte[] second = ring.descriptorTable().asSlice(32, 16).toArray(ValueLayout.JAVA_BYTE);
      String indirect = HexFormat.of().formatHex(second);
      assertEquals("00000030 0004 0000".replace(" ", ""), indirect.substring(16));
      long table = Long.parseUnsignedLong(indirect.substring(0, 16), 16);
      long data = pair.memory.deviceAddress(pair.data);
      MemorySegment bytes = pair.memory.slice(table, 48);
      assertBytes(String.format("%016x 00000010 0003 0001", data), bytes, 0);
      assertBytes(String.format("%016x 00000010 0003 0002", data + 16), bytes, 16);
      assertBytes(String.format("%016x 00000010 0002 0000", data + 32), bytes, 32);
      assertBytes("0000 0000 0000 0002", ring.availableRing(), 0);
      pair.queue.kick();
      assertBytes("0000 0002 0000 0002", ring.availableRing(), 0);
      MemorySegment used = ring.usedRing();
      write(used, 4, "00000002 00000021");
      write(used, 2, "0001");
      assertEquals("indirect", pair.queue.get());
      assertEquals(0x21, pair.queue.writtenLength());
      assertBytes("0001", ring.availableRing(), 4 + 16);
      write(used, 12, "00000000 00001000");
      write(used, 2, "0002");
      assertEquals("direct", pair.queue.get());
      assertEquals(0x1000, pair.queue.writtenLength());
      write(used, 4 + 64, "0002");
      assertTrue(pair.add("seen", 1, 0));
      assertTrue(pair.queue.kickPrepare());
      write(used, 4 + 64, "0200");
      assertTrue(pair.add("not seen", 1, 0));
      assertEquals(false, pair.queue.kickPrepare());
    }
  }

  private static void assertBytes(String hex, MemorySegment segment, long offset) {
    byte[] expected = HexFormat.of().parseHex(hex.replace(" ", ""));
    byte[] actual = segment.asSlice(offset, expected.length).toArray(ValueLayout.JAVA_BYTE);
    assertArrayEquals(expected, actual);
  }

  private static void write(MemorySegment segment, long offset, String hex) {
    byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
    MemorySegment.copy(bytes, 0, segment, ValueLayout.JAVA_BYTE, offset, bytes.length);
  }

  @Test
  void aQueueThatFindsNoRoomKeepsNothing() {
    for (DriverSession session :
        new DriverSession[] {DriverSession.INDIRECT, DriverSession.PACKED_INDIRECT}) {
      try (TestDriverMemory memory = new TestDriverMemory(4096, 0x1000).limit(4096)) {
        assertThrows(
            IOException.class,
            () -> DriverQueue.create(QueuePair.options(session, 64, 16, 0), memory, queue -> {}));
        assertEquals(0, memory.allocated());
      }
    }
  }

  @Test
  void optionsThatCannotBeAreRefused() {
    for (int size : new int[] {-8, 0, 3, 6, 65536}) {
      assertThrows(
          IllegalArgumentException.class, () -> QueuePair.options(DriverSession.PLAIN, size, 1, 0));
    }
    for (int align : new int[] {-4096, 1, 2, 3, 100}) {
      assertThrows(
          IllegalArgumentException.class,
          () -> QueuePair.options(DriverSession.LEGACY, 8, 1, align));
    }
    assertThrows(
        IllegalArgumentException.class, () -> QueuePair.options(DriverSession.PLAIN, 8, 0, 0));
  }
}
