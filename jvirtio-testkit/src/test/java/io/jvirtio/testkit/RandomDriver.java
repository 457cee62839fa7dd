// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import java.util.random.RandomGenerator;

/** Fills a ring with random batches: most keep the rules, some break one. */
final class RandomDriver {
  /** Rings stand at the start of memory; buffers and indirect tables in these regions only. */
  static final long DATA = 0x10_0000;

  static final long DATA_SIZE = 0x2000;
  static final long NEIGHBOUR = DATA + DATA_SIZE;
  static final long NEIGHBOUR_SIZE = 0x333;
  static final long FAR = NEIGHBOUR + NEIGHBOUR_SIZE;
  static final long FAR_SIZE = 0x1ccd;
  static final long END = FAR + FAR_SIZE;
  static final long TOP = -0x1000L;
  static final long TOP_SIZE = 0x1000;

  private final RandomGenerator random;
  private final TestMemory memory;
  private final ScriptedDriver driver;

  RandomDriver(RandomGenerator random, TestMemory memory, ScriptedDriver driver) {
    this.random = random;
    this.memory = memory;
    this.driver = driver;
  }

  /** Scribbles over the buffers, then makes a batch available. */
  void batch() {
    for (int i = 0; i < 4; i++) {
      byte[] noise = new byte[random.nextInt(1, 500)];
      random.nextBytes(noise);
      memory.write(DATA + random.nextLong(END - DATA - noise.length), noise);
    }
    int batch = random.nextInt(1, 4);
    for (int i = 0; i < batch && driver.freeDescriptors() > 0; i++) {
      chain();
    }
    if (random.nextInt(12) == 0) {
      corrupt();
    }
    driver.publish();
    if (random.nextInt(60) == 0) {
      driver.ring().availIdx(random.nextInt(1 << 16));
    }
  }

  private void chain() {
    int most = Math.min(6, driver.freeDescriptors());
    int direct = random.nextInt(1, most + 1);
    boolean indirect = random.nextInt(3) == 0;
    int inTable = indirect ? random.nextInt(1, 12) : 0;
    int total = indirect ? direct - 1 + inTable : direct;
    int readable = random.nextInt(total + 1);
    ChainBuilder chain = driver.chain();
    for (int i = 0; i < total; i++) {
      if (indirect && i == direct - 1) {
        chain.indirectAt(DATA + random.nextLong(END - DATA - 16L * inTable));
        chain.tableFlags(random.nextInt(2) * VIRTQ_DESC_F_WRITE);
      }
      long length = random.nextInt(8) == 0 ? 0 : random.nextLong(1, 900);
      long address = DATA + random.nextLong(END - DATA - length);
      if (random.nextInt(10) == 0) {
        length = random.nextLong(0x800);
        address = TOP + random.nextLong(TOP_SIZE - length);
      }
      if (i < readable) {
        chain.readableAt(address, length);
      } else {
        chain.writableAt(address, length);
      }
    }
    chain.add();
  }

  /** Breaks something, or perhaps nothing that matters. */
  private void corrupt() {
    int index = random.nextInt(driver.size());
    switch (random.nextInt(4)) {
      case 0 -> driver.ring().descriptor(index, address(), length(), flags(), next());
      case 1 -> driver.ring().availEntry(random.nextInt(driver.size()), next());
      case 2 -> memory.write(DATA + 16 * random.nextLong(END - DATA >> 4), new byte[] {1, 2, 3});
      default -> loop(index);
    }
  }

  private void loop(int index) {
    long table = DATA + random.nextLong(0x100);
    int entries = random.nextInt(1, 5);
    for (int i = 0; i < entries; i++) {
      driver
          .ring()
          .descriptor(
              memory.slice(table, 16L * entries),
              16L * i,
              address(),
              random.nextLong(20),
              VIRTQ_DESC_F_NEXT,
              (i + 1) % entries);
    }
    driver.ring().descriptor(index, table, 16L * entries, VIRTQ_DESC_F_INDIRECT, 0);
    if (random.nextBoolean()) {
      driver.addHead(index);
    }
  }

  private long address() {
    return switch (random.nextInt(8)) {
      case 0 -> END - random.nextLong(20);
      case 1 -> NEIGHBOUR - random.nextLong(20);
      case 2 -> TOP + random.nextLong(TOP_SIZE);
      case 3 -> -random.nextLong(1, 40);
      case 4 -> random.nextLong();
      default -> DATA + random.nextLong(END - DATA);
    };
  }

  private long length() {
    return switch (random.nextInt(6)) {
      case 0 -> 0;
      case 1 -> random.nextLong(1L << 32);
      case 2 -> 16L * random.nextInt(1, 8);
      default -> random.nextLong(64);
    };
  }

  private int flags() {
    return switch (random.nextInt(8)) {
      case 0 -> VIRTQ_DESC_F_INDIRECT;
      case 1 -> VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT;
      case 2 -> random.nextInt(1 << 16);
      case 3 -> 0;
      default -> random.nextInt(4);
    };
  }

  private int next() {
    return random.nextInt(10) == 0 ? random.nextInt(1 << 16) : random.nextInt(driver.size());
  }
}
