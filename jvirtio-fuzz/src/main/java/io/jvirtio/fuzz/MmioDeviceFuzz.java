// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import io.jvirtio.transport.mmio.MmioDevice;
import io.jvirtio.transport.mmio.MmioOptions;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.logging.LogManager;

/**
 * Fuzz target: accesses to a device's memory mapped registers. Whatever a driver does, nothing is
 * thrown, and after a reset by the machine the device serves an honest driver.
 *
 * <pre>
 *   input:  u8 version 1 (bit 0), guest big-endian (1)
 *   access: u8 what: memory instead of registers (bit 0), write (3), log2 of the width (4, 5),
 *              the device works before (6)
 *           le16 offset   and for a write the value, as wide as it is
 * </pre>
 */
public final class MmioDeviceFuzz {
  static final int LEGACY = 1;
  static final int BIG_ENDIAN = 2;
  static final int REGISTERS = 0;
  static final int MEMORY = 1;
  static final int WRITE = 8;
  static final int WORK = 0x40;

  private static final int MEMORY_BYTES = 0x1_0000;
  private static final long SHARED = 0x10_0000;
  private static final int QUEUE_SIZE = 256;
  private static final int RING = 0x4000;
  private static final int AVAILABLE = RING + 16 * QUEUE_SIZE;
  private static final int USED = AVAILABLE + 0x1000;
  private static final int BUFFER = 0x8000;
  private static final long CONTENT = 0x1122334455667788L;
  private static final MemorySegment RAM = Arena.global().allocate(MEMORY_BYTES, 4096);

  private final InlineOwner owner = new InlineOwner();
  private final MmioDevice device;
  private final boolean legacy;
  private final ByteOrder order;
  private boolean level;

  private MmioDeviceFuzz(int kind) {
    LogManager.getLogManager().reset();
    legacy = (kind & LEGACY) != 0;
    boolean bigEndian = legacy && (kind & BIG_ENDIAN) != 0;
    order = bigEndian ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    MmioOptions options =
        legacy
            ? MmioOptions.legacy().withBigEndianGuest(bigEndian)
            : MmioOptions.defaults().withSharedMemory(1, SHARED);
    device = new MmioDevice(new RegisterDevice(), queue -> owner, options, this::line);
    device.setMemory(
        GuestMemory.of(List.of(new MemoryRegion(0, MEMORY_BYTES, RAM.fill((byte) 0).address()))));
  }

  private void line(boolean asserted) {
    if (level == asserted) {
      throw new AssertionError("the line has not changed");
    }
    level = asserted;
  }

  /** The entry that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) {
    ByteBuffer in = ByteBuffer.wrap(input).order(ByteOrder.LITTLE_ENDIAN);
    if (!in.hasRemaining()) {
      return;
    }
    MmioDeviceFuzz fuzz = new MmioDeviceFuzz(in.get());
    try {
      while (in.remaining() >= 3) {
        fuzz.access(in);
      }
      fuzz.owner.runUntilIdle();
      fuzz.device.reset();
      expect(fuzz.level ? 1 : 0, 0);
      fuzz.serves();
    } finally {
      fuzz.device.close();
    }
  }

  private void access(ByteBuffer in) {
    int what = in.get();
    int offset = in.getShort() & 0xffff;
    int width = 1 << (what >> 4 & 3);
    boolean write = (what & WRITE) != 0;
    long value = 0;
    for (int i = 0; write && i < width && in.hasRemaining(); i++) {
      value |= (in.get() & 0xffL) << 8 * i;
    }
    if ((what & WORK) != 0) {
      owner.runUntilIdle();
    }
    if ((what & MEMORY) != 0) {
      if (write && offset <= MEMORY_BYTES - width) {
        RAM.asSlice(offset, width)
            .copyFrom(MemorySegment.ofArray(new long[] {value}).asSlice(0, width));
      }
    } else if (write) {
      device.write(offset, width, value);
    } else {
      long read = device.read(offset, width);
      if (width < 8 && read >>> 8 * width != 0) {
        throw new AssertionError(width + " bytes: " + Long.toHexString(read));
      }
    }
  }

  /** An honest driver of this version gets its buffer back. */
  private void serves() {
    RAM.fill((byte) 0);
    expect(device.read(0x70, 4), 0);
    device.write(0x70, 4, 3);
    if (!legacy) {
      device.write(0x24, 4, 1);
      device.write(0x20, 4, 1); // VIRTIO_F_VERSION_1
      device.write(0x70, 4, 0xb);
      expect(device.read(0x70, 4), 0xb);
    }
    if (legacy) {
      device.write(0x28, 4, 4096);
    }
    device.write(0x30, 4, 0);
    expect(device.read(0x34, 4), QUEUE_SIZE);
    device.write(0x38, 4, QUEUE_SIZE);
    if (legacy) {
      device.write(0x3c, 4, 4096);
      device.write(0x40, 4, RING / 4096);
      expect(device.read(0x40, 4), RING / 4096);
    } else {
      device.write(0x80, 4, RING);
      device.write(0x90, 4, AVAILABLE);
      device.write(0xa0, 4, USED);
      device.write(0x44, 4, 1);
      expect(device.read(0x44, 4), 1);
    }
    int running = legacy ? 7 : 0xf;
    device.write(0x70, 4, running);
    expect(device.read(0x70, 4), running);
    owner.runUntilIdle();
    echo();
  }

  private void echo() {
    ValueLayout.OfShort le16 = ValueLayout.JAVA_SHORT.withOrder(order);
    ValueLayout.OfInt le32 = ValueLayout.JAVA_INT.withOrder(order);
    ValueLayout.OfLong le64 = ValueLayout.JAVA_LONG.withOrder(order);
    RAM.set(le64, BUFFER, CONTENT);
    RAM.set(le64, RING, BUFFER);
    RAM.set(le32, RING + 8, 8);
    RAM.set(le16, RING + 12, (short) 1); // VIRTQ_DESC_F_NEXT
    RAM.set(le16, RING + 14, (short) 1);
    RAM.set(le64, RING + 16, BUFFER + 64);
    RAM.set(le32, RING + 24, 8);
    RAM.set(le16, RING + 28, (short) 2); // VIRTQ_DESC_F_WRITE
    RAM.set(le16, AVAILABLE + 2, (short) 1);
    device.write(0x50, 4, 0);
    owner.runUntilIdle();
    expect(RAM.get(le16, USED + 2), 1);
    expect(RAM.get(le64, BUFFER + 64), CONTENT);
    expect(level ? 1 : 0, 1);
    device.write(0x64, 4, device.read(0x60, 4));
    expect(level ? 1 : 0, 0);
  }

  private static void expect(long is, long expected) {
    if (is != expected) {
      throw new AssertionError(Long.toHexString(is) + " instead of " + Long.toHexString(expected));
    }
  }
}
