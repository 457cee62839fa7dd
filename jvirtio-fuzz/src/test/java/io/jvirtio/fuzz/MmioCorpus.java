// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import static io.jvirtio.fuzz.MmioDeviceFuzz.BIG_ENDIAN;
import static io.jvirtio.fuzz.MmioDeviceFuzz.LEGACY;
import static io.jvirtio.fuzz.MmioDeviceFuzz.MEMORY;
import static io.jvirtio.fuzz.MmioDeviceFuzz.REGISTERS;
import static io.jvirtio.fuzz.MmioDeviceFuzz.WORK;
import static io.jvirtio.fuzz.MmioDeviceFuzz.WRITE;

import java.io.ByteArrayOutputStream;
import java.util.Map;
import java.util.TreeMap;

/** The inputs from which {@link MmioDeviceFuzz} starts, by name. */
final class MmioCorpus {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  private MmioCorpus(int kind) {
    out.write(kind);
  }

  private MmioCorpus access(int what, int offset, int width) {
    out.write(what | Integer.numberOfTrailingZeros(width) << 4);
    out.write(offset);
    out.write(offset >> 8);
    return this;
  }

  private MmioCorpus read(int offset) {
    return access(REGISTERS, offset, 4);
  }

  private MmioCorpus write(int what, int offset, int width, long value) {
    access(what | WRITE, offset, width);
    for (int i = 0; i < width; i++) {
      out.write((int) (value >> 8 * i));
    }
    return this;
  }

  private MmioCorpus write(int offset, long value) {
    return write(REGISTERS, offset, 4, value);
  }

  static Map<String, byte[]> accesses() {
    TreeMap<String, byte[]> seeds = new TreeMap<>();
    seeds.put("modern", modern().out.toByteArray());
    seeds.put("queue-reset", queueReset());
    seeds.put("configuration", configuration());
    seeds.put("legacy", legacy(LEGACY));
    seeds.put("legacy-big-endian", legacy(LEGACY | BIG_ENDIAN));
    return seeds;
  }

  /** A buffer in a ring at page 1. */
  private MmioCorpus buffer() {
    return write(MEMORY, 0x1000, 8, 0x8000)
        .write(MEMORY, 0x1008, 8, 0x0001_0001_0000_0008L)
        .write(MEMORY, 0x1010, 8, 0x9000)
        .write(MEMORY, 0x1018, 8, 0x0002_0000_0008L)
        .write(MEMORY, 0x2002, 2, 1);
  }

  private static MmioCorpus modern() {
    return new MmioCorpus(0)
        .buffer()
        .write(0x70, 3)
        .write(0x14, 1)
        .read(0x10)
        .write(0x24, 1)
        .write(0x20, 0x101) // VERSION_1, RING_RESET
        .write(0x70, 0xb)
        .read(0x70)
        .write(0x30, 0)
        .write(0x38, 128)
        .write(0x80, 0x1000)
        .write(0x84, 0)
        .write(0x90, 0x2000)
        .write(0xa0, 0x3000)
        .write(0x44, 1)
        .write(0x70, 0xf)
        .write(0x50, 0)
        .access(WORK, 0x60, 4)
        .write(0x64, 1);
  }

  private static byte[] queueReset() {
    return modern()
        .write(0xc0, 1)
        .access(WORK, 0xc0, 4)
        .read(0x44)
        .write(0x44, 1)
        .write(0x44, 0)
        .write(0x50, 0x8001_0000L)
        .write(0x70, 0)
        .out
        .toByteArray();
  }

  private static byte[] configuration() {
    return modern()
        .read(0xfc)
        .write(REGISTERS, 0x100, 4, 5)
        .access(REGISTERS, 0x108, 2)
        .write(REGISTERS, 0x10a, 1, 7)
        .access(REGISTERS, 0x10c, 8)
        .write(0xac, 1)
        .read(0xb0)
        .read(0xb8)
        .write(0xac, 2)
        .read(0xbc)
        .out
        .toByteArray();
  }

  private static byte[] legacy(int kind) {
    return new MmioCorpus(kind)
        .buffer()
        .write(0x28, 4096)
        .write(0x70, 3)
        .write(0x14, 0)
        .read(0x10)
        .write(0x20, 1 << 27)
        .write(0x30, 0)
        .read(0x34)
        .write(0x38, 128)
        .write(0x3c, 4096)
        .write(0x40, 1)
        .write(0x50, 0) // before DRIVER_OK
        .access(WORK, 0x60, 4)
        .write(0x70, 7)
        .write(0x64, 1)
        .access(REGISTERS, 0x101, 2)
        .write(0x40, 0)
        .out
        .toByteArray();
  }
}
