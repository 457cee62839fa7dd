// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import static io.jvirtio.fuzz.PciFunctionFuzz.CONFIG;
import static io.jvirtio.fuzz.PciFunctionFuzz.MEMORY;
import static io.jvirtio.fuzz.PciFunctionFuzz.WORK;
import static io.jvirtio.fuzz.PciFunctionFuzz.WRITE;

import java.io.ByteArrayOutputStream;
import java.util.Map;
import java.util.TreeMap;

/** The inputs from which {@link PciFunctionFuzz} starts, by name. */
final class PciCorpus {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  private PciCorpus(int kind) {
    out.write(kind);
  }

  private PciCorpus read(int what, int offset, int width) {
    out.write(what | Integer.numberOfTrailingZeros(width) << 4);
    out.write(offset);
    out.write(offset >> 8);
    return this;
  }

  private PciCorpus write(int what, int offset, int width, long value) {
    read(what | WRITE, offset, width);
    for (int i = 0; i < width; i++) {
      out.write((int) (value >> 8 * i));
    }
    return this;
  }

  static Map<String, byte[]> accesses() {
    TreeMap<String, byte[]> seeds = new TreeMap<>();
    seeds.put("modern", modern(0).out.toByteArray());
    seeds.put("messages", messages());
    seeds.put("window", window());
    seeds.put("legacy", legacy(2));
    seeds.put("legacy-big-endian", legacy(5));
    return seeds;
  }

  /** A buffer in a ring at page 1. */
  private PciCorpus buffer() {
    return write(MEMORY, 0x1000, 8, 0x8000)
        .write(MEMORY, 0x1008, 8, 0x0001_0001_0000_0008L)
        .write(MEMORY, 0x1010, 8, 0x9000)
        .write(MEMORY, 0x1018, 8, 0x0002_0000_0008L)
        .write(MEMORY, 0x2002, 2, 1);
  }

  private static PciCorpus modern(int kind) {
    return new PciCorpus(kind)
        .buffer()
        .write(CONFIG, 4, 2, 6)
        .write(4, 0x14, 1, 3)
        .write(4, 8, 4, 1)
        .write(4, 0xc, 4, 1)
        .write(4, 0x14, 1, 0xb)
        .write(4, 0x10, 2, 0)
        .write(4, 0x1a, 2, 1)
        .write(4, 0x20, 4, 0x1000)
        .write(4, 0x28, 8, 0x2000)
        .write(4, 0x30, 4, 0x3000)
        .write(4, 0x1c, 2, 1)
        .write(4, 0x14, 1, 0xf)
        .write(4, 0x3000, 2, 0)
        .read(4 | WORK, 0x1000, 1)
        .write(4, 0x2000, 4, 5)
        .read(4, 0x2008, 2);
  }

  private static byte[] messages() {
    return modern(1)
        .write(1, 0x10, 8, 0xfee0_1000L)
        .write(1, 0x18, 8, 0x41)
        .write(CONFIG, 0xb2, 2, 0xc000)
        .write(CONFIG, 0xb2, 2, 0x8000)
        .write(MEMORY, 0x2002, 2, 2)
        .write(4, 0x3000, 4, 0)
        .read(1 | WORK, 0x800, 8)
        .write(CONFIG, 4, 2, 0)
        .write(4, 0x14, 1, 0)
        .out
        .toByteArray();
  }

  private static byte[] window() {
    return modern(8)
        .write(CONFIG, 0xa0, 1, 4)
        .write(CONFIG, 0xa4, 4, 0x14)
        .write(CONFIG, 0xa8, 4, 1)
        .write(CONFIG, 0xac, 1, 0x80)
        .read(CONFIG, 0xac, 4)
        .write(2, 8, 8, -1)
        .read(2, 4999, 1)
        .out
        .toByteArray();
  }

  private static byte[] legacy(int kind) {
    return new PciCorpus(kind)
        .buffer()
        .write(CONFIG, 4, 2, 5)
        .write(0, 18, 1, 3)
        .write(0, 4, 4, 0x3000_0000)
        .write(0, 14, 2, 0)
        .write(0, 8, 4, 1)
        .write(0, 16, 2, 0)
        .read(0 | WORK, 19, 1)
        .write(0, 18, 1, 7)
        .write(0, 28, 2, 7)
        .read(0, 20, 4)
        .write(0, 8, 4, 0)
        .out
        .toByteArray();
  }
}
