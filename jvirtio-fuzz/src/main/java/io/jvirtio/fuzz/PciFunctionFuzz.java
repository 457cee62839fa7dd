// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.pci.PciBar;
import io.jvirtio.transport.pci.PciFunction;
import io.jvirtio.transport.pci.PciInterrupts;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.logging.LogManager;

/**
 * Fuzz target: accesses to a PCI function. Whatever a driver does, nothing is thrown, and after a
 * reset by the bus the function serves an honest driver.
 *
 * <pre>
 *   input:  u8 profile (bits 0, 1), guest big-endian (2), MSI-X kept elsewhere (3)
 *   access: u8 what: BAR 0 to 5, configuration space 6, memory 7 (bits 0 to 2), write (3),
 *              log2 of the width (4, 5), the device works before (6)
 *           le16 offset   and for a write the value, as wide as it is
 * </pre>
 */
public final class PciFunctionFuzz {
  static final int CONFIG = 6;
  static final int MEMORY = 7;
  static final int WRITE = 8;
  static final int WORK = 0x40;
  private static final int MEMORY_BYTES = 0x1_0000;
  private static final int BUFFER = 0x8000;
  private static final int TEST_RING = 0x4000;
  private static final int QUEUE_SIZE = 256;
  private static final MemorySegment RAM = Arena.global().allocate(MEMORY_BYTES, 4096);

  private final InlineOwner owner = new InlineOwner();
  private final PciFunction function;

  private PciFunctionFuzz(int kind) {
    LogManager.getLogManager().reset();
    PciProfile profile = PciProfile.values()[(kind & 3) % 3];
    PciOptions options =
        PciOptions.defaults()
            .withProfile(profile)
            .withBigEndianGuest((kind & 4) != 0 && profile != PciProfile.MODERN)
            .withExternalMsix((kind & 8) != 0);
    function = new PciFunction(new RegisterDevice(), queue -> owner, options, new Interrupts());
    function.setMemory(
        GuestMemory.of(List.of(new MemoryRegion(0, MEMORY_BYTES, RAM.fill((byte) 0).address()))));
  }

  private static final class Interrupts implements PciInterrupts {
    private boolean level;

    @Override
    public void intx(boolean asserted) {
      if (level == asserted) {
        throw new AssertionError("the pin has not changed");
      }
      level = asserted;
    }

    @Override
    public void msix(int vector, long address, int data) {
      if (vector < 0 || vector > 2 || (address & 3) != 0) {
        throw new AssertionError("vector " + vector + " to " + address);
      }
    }
  }

  /** The entry that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) {
    ByteBuffer in = ByteBuffer.wrap(input).order(ByteOrder.LITTLE_ENDIAN);
    if (!in.hasRemaining()) {
      return;
    }
    PciFunctionFuzz fuzz = new PciFunctionFuzz(in.get());
    try {
      while (in.remaining() >= 3) {
        fuzz.access(in);
      }
      fuzz.owner.runUntilIdle();
      fuzz.function.reset();
      fuzz.serves();
    } catch (IOException e) {
      throw new AssertionError(e);
    } finally {
      fuzz.function.close();
    }
  }

  private void access(ByteBuffer in) throws IOException {
    int what = in.get();
    int offset = in.getShort() & 0xffff;
    int width = 1 << (what >> 4 & 3);
    long value = 0;
    for (int i = 0; (what & WRITE) != 0 && i < width && in.hasRemaining(); i++) {
      value |= (in.get() & 0xffL) << 8 * i;
    }
    if ((what & WORK) != 0) {
      owner.runUntilIdle();
    }
    RegisterWindow window = window(what & 7);
    if ((what & 7) == MEMORY) {
      if ((what & WRITE) != 0 && offset <= MEMORY_BYTES - width) {
        RAM.asSlice(offset, width)
            .copyFrom(MemorySegment.ofArray(new long[] {value}).asSlice(0, width));
      }
    } else if (window != null && (what & WRITE) != 0) {
      window.write(offset, width, value);
    } else if (window != null) {
      long read = window.read(offset, width);
      if (width < 8 && read >>> 8 * width != 0) {
        throw new AssertionError(width + " bytes: " + Long.toHexString(read));
      }
    }
  }

  private RegisterWindow window(int index) {
    if (index >= CONFIG) {
      return index == CONFIG ? function.config() : null;
    }
    PciBar bar = function.bars().get(index);
    return bar == null ? null : bar.window();
  }

  /** An honest driver of either interface gets its buffer back. */
  private void serves() throws IOException {
    RAM.fill((byte) 0);
    function.config().write(4, 2, 7);
    RegisterWindow modern = window(4);
    if (modern != null) {
      expect(modern.read(0x14, 1), 0);
      modern.write(0x14, 1, 3);
      modern.write(8, 4, 1);
      modern.write(0xc, 4, 1); // VIRTIO_F_VERSION_1
      modern.write(0x14, 1, 0xb);
      expect(modern.read(0x14, 1), 0xb);
      modern.write(0x20, 8, TEST_RING);
      modern.write(0x28, 8, TEST_RING + 16 * QUEUE_SIZE);
      modern.write(0x30, 8, TEST_RING + 0x2000);
      modern.write(0x1c, 2, 1);
      modern.write(0x14, 1, 0xf);
    } else {
      RegisterWindow legacy = window(0);
      expect(legacy.read(18, 1), 0);
      legacy.write(18, 1, 3);
      legacy.write(8, 4, TEST_RING / 4096);
      legacy.write(18, 1, 7);
    }
    long status = modern != null ? modern.read(0x14, 1) : window(0).read(18, 1);
    expect(status & 0x44, 4);
    owner.runUntilIdle();
    if (modern != null) {
      echo(modern);
    }
  }

  private void echo(RegisterWindow modern) throws IOException {
    RAM.set(ValueLayout.JAVA_LONG, BUFFER, 0x1122334455667788L);
    RAM.set(ValueLayout.JAVA_LONG, TEST_RING, BUFFER);
    RAM.set(ValueLayout.JAVA_INT, TEST_RING + 8, 8);
    RAM.set(ValueLayout.JAVA_INT, TEST_RING + 12, 0x0001_0001);
    RAM.set(ValueLayout.JAVA_LONG, TEST_RING + 16, BUFFER + 64);
    RAM.set(ValueLayout.JAVA_INT, TEST_RING + 24, 8);
    RAM.set(ValueLayout.JAVA_INT, TEST_RING + 28, 2);
    RAM.set(ValueLayout.JAVA_SHORT, TEST_RING + 16 * QUEUE_SIZE + 2, (short) 1);
    modern.write(0x3000, 2, 0);
    owner.runUntilIdle();
    expect(RAM.get(ValueLayout.JAVA_SHORT, TEST_RING + 0x2002), 1);
    expect(RAM.get(ValueLayout.JAVA_LONG, BUFFER + 64), 0x1122334455667788L);
  }

  private static void expect(long is, long expected) {
    if (is != expected) {
      throw new AssertionError(Long.toHexString(is) + " instead of " + Long.toHexString(expected));
    }
  }
}
