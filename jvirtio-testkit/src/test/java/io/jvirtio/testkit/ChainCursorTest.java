// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.ChainReader;
import io.jvirtio.queue.ChainWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Reading and writing a chain at any descriptor boundary. */
class ChainCursorTest {
  private static final int LENGTH = 1 + 2 + 4 + 8 + 3;

  private static byte[] fields(ByteOrder order) {
    return ByteBuffer.allocate(LENGTH)
        .order(order)
        .put((byte) 0xfe)
        .putShort((short) 0xfedc)
        .putInt(0xfedcba98)
        .putLong(0xfedcba9876543210L)
        .put(new byte[] {7, 8, 9})
        .array();
  }

  private static void readFields(ChainReader reader) throws PeerFault {
    assertEquals(LENGTH, reader.remaining());
    assertEquals(0xfe, reader.u8());
    assertEquals(0xfedc, reader.le16());
    assertEquals(0xfedcba98, reader.le32());
    assertEquals(0xfedcba9876543210L, reader.le64());
    byte[] rest = new byte[5];
    reader.bytes(rest, 1, 3);
    assertArrayEquals(new byte[] {0, 7, 8, 9, 0}, rest);
    assertEquals(0, reader.remaining());
    assertEquals(LENGTH, reader.position());
  }

  private static void writeFields(ChainWriter writer) throws PeerFault {
    writer.u8(0xfe);
    writer.le16(0xfedc);
    writer.le32(0xfedcba98);
    writer.le64(0xfedcba9876543210L);
    writer.bytes(new byte[] {0, 7, 8, 9, 0}, 1, 3);
  }

  @ParameterizedTest
  @EnumSource
  @Requirement(
      section = "Split Virtqueues / Message Framing",
      text =
          "The device MUST NOT make assumptions about the particular arrangement of descriptors.")
  @Requirement(
      section = "Split Virtqueues / Legacy Interfaces: A Note on Virtqueue Endianness",
      text =
          "Note that when using the legacy interface, transitional devices and drivers MUST use"
              + " the native endian of the guest as the endian of fields and in the virtqueue.")
  void fieldsAreReadAndWrittenAcrossAnyBoundary(Session session) {
    PuppetDevice device = PuppetDevice.echoing(64);
    device.action =
        (queue, chain) -> {
          readFields(chain.reader());
          writeFields(chain.writer());
          chain.reader().rewind();
          readFields(chain.reader());
          queue.push(chain, chain.writer().position());
        };
    try (DeviceBench bench = session.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      byte[] fields = fields(driver.order());
      long[] mark = bench.memory().mark();
      for (int a = 0; a <= LENGTH; a++) {
        for (int b = a; b <= LENGTH; b++) {
          driver
              .chain()
              .readable(fields)
              .writable(LENGTH + 2)
              .splitReadable(a, b)
              .splitWritable(a, b, LENGTH)
              .submit();
          bench.run();
          assertNull(bench.brokenReason(0), a + " " + b);
          assertArrayEquals(fields, driver.poll().bytes());
          bench.memory().release(mark);
        }
      }
      int[] all = new int[LENGTH - 1];
      for (int i = 0; i < all.length; i++) {
        all[i] = i + 1;
      }
      driver
          .chain()
          .readable(fields)
          .writable(LENGTH)
          .splitReadable(all)
          .splitWritable(all)
          .submit();
      bench.run();
      assertArrayEquals(fields, driver.poll().bytes());
    }
  }

  private static void tooShort(Executable access) {
    PeerFault fault = assertThrows(PeerFault.class, access);
    assertEquals(FaultReason.BUFFER_TOO_SHORT, fault.reason());
  }

  @Test
  void anAccessBehindTheEndIsAFaultAndMovesNothing() {
    PuppetDevice device = PuppetDevice.echoing();
    device.action =
        (queue, chain) -> {
          ChainReader reader = chain.reader();
          reader.skip(5);
          assertEquals(2, reader.remaining());
          tooShort(reader::le32);
          tooShort(reader::le64);
          tooShort(() -> reader.bytes(new byte[8], 0, 3));
          tooShort(() -> reader.skip(3));
          tooShort(() -> reader.skip(-1));
          tooShort(() -> reader.skip(Long.MIN_VALUE));
          assertEquals(0x0706, reader.le16());
          tooShort(reader::u8);
          tooShort(reader::le16);
          ChainWriter writer = chain.writer();
          writer.skip(4);
          tooShort(() -> writer.le16(1));
          tooShort(() -> writer.le32(1));
          tooShort(() -> writer.le64(1));
          tooShort(() -> writer.bytes(new byte[8], 0, 2));
          writer.u8(99);
          tooShort(() -> writer.u8(1));
          assertEquals(0, writer.remaining());
          queue.push(chain, 5);
        };
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver
          .chain()
          .readable((byte) 1, (byte) 2, (byte) 3, (byte) 4, (byte) 5, (byte) 6, (byte) 7)
          .writable(5)
          .splitReadable(2, 6)
          .splitWritable(3)
          .submit();
      bench.run();
      assertNull(bench.brokenReason(0));
      byte[] written = driver.poll().bytes();
      assertEquals(ChainBuilder.UNWRITTEN, written[3] & 0xff);
      assertEquals(99, written[4]);
    }
  }

  @Test
  void theScatterListHoldsWhatTheCursorsRead() {
    PuppetDevice device = PuppetDevice.echoing();
    device.action =
        (queue, chain) -> {
          assertEquals(3, chain.segmentCount());
          assertEquals(2, chain.readableCount());
          assertEquals(5, chain.readableLength());
          assertEquals(4, chain.writableLength());
          assertEquals(2, chain.segmentLength(0));
          assertEquals(chain.segment(1).address(), chain.segmentAddress(1));
          assertEquals(3, chain.segment(1).byteSize());
          assertThrows(IndexOutOfBoundsException.class, () -> chain.segmentAddress(3));
          assertThrows(IndexOutOfBoundsException.class, () -> chain.segmentLength(-1));
          chain.attach("mine");
          PuppetDevice.echo(queue, chain);
        };
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      bench.driver(0).chain().readable(new byte[5]).splitReadable(2).writable(4).submit();
      bench.run();
      assertNull(bench.brokenReason(0));
      assertEquals(4, bench.driver(0).poll().length());
      // The chain object is used again, with what the device attached to it.
      device.action =
          (queue, chain) -> {
            assertEquals("mine", chain.attachment());
            queue.push(chain, 0);
          };
      bench.driver(0).chain().readable(new byte[5]).submit();
      bench.run();
      assertNull(bench.brokenReason(0));
    }
  }
}
