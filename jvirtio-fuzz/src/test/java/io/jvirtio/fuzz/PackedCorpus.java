// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DESC;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_AVAIL;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_USED;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_WRITE;

import io.jvirtio.spec.PackedRing;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.TreeMap;

/** The inputs from which the fuzz target of packed rings starts, by name. */
final class PackedCorpus {
  private static final int SIZE = 7;
  private static final int NEXT = VIRTQ_DESC_F_NEXT;
  private static final int WRITE = VIRTQ_DESC_F_WRITE;
  private static final int TABLE = VIRTQ_DESC_F_INDIRECT;

  private PackedCorpus() {}

  /** A memory image with a ring at its start, for {@link RingRig}. */
  private static final class Image {
    private final ByteBuffer bytes = ByteBuffer.allocate(0x600).order(ByteOrder.LITTLE_ENDIAN);
    private int position;
    private boolean wrap = true;
    private int start = PackedRing.WRAP;
    private int data = RingRig.driverEvent(SIZE) + 8 + 15 & -16;
    private boolean eventIdx;
    private boolean inOrder;

    Image startAt(int from, boolean counter) {
      position = from;
      wrap = counter;
      start = from | (counter ? PackedRing.WRAP : 0);
      return this;
    }

    Image eventIdx() {
      eventIdx = true;
      return this;
    }

    Image inOrder() {
      inOrder = true;
      return this;
    }

    /** The next descriptor of the ring, available. */
    Image add(long addr, int len, int id, int flags) {
      raw(16 * position, addr, len, id, flags | PackedRing.availableFlags(wrap));
      if (++position == SIZE) {
        position = 0;
        wrap = !wrap;
      }
      return this;
    }

    Image raw(int at, long addr, int len, int id, int flags) {
      bytes.putLong(at, addr).putInt(at + 8, len);
      bytes.putShort(at + 12, (short) id).putShort(at + 14, (short) flags);
      return this;
    }

    Image event(int offset, boolean counter, int flags) {
      int desc = offset | (counter ? PackedRing.WRAP : 0);
      bytes.putShort(RingRig.driverEvent(SIZE), (short) desc);
      bytes.putShort(RingRig.driverEvent(SIZE) + 2, (short) flags);
      return this;
    }

    /** Puts bytes into the image; where, is the answer. */
    int data(byte... content) {
      int at = data;
      bytes.put(at, content);
      data += content.length + 15 & -16;
      return at;
    }

    byte[] input(byte... second) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      out.writeBytes(RingRig.packedHeader(SIZE, start, eventIdx, inOrder, bytes.capacity()));
      out.writeBytes(bytes.array());
      out.writeBytes(second);
      return out.toByteArray();
    }
  }

  static TreeMap<String, byte[]> packedQueue() {
    TreeMap<String, byte[]> seeds = new TreeMap<>();
    seeds.put("direct", direct(new Image()).input());
    seeds.put("indirect", indirect(new Image()).input());
    seeds.put("in-order", direct(new Image().inOrder()).input());
    seeds.put("next-lap", direct(new Image().startAt(SIZE - 2, false)).input());
    for (int flags = 0; flags < 4; flags++) {
      Image image = direct(new Image().eventIdx()).event(3, true, flags);
      seeds.put("event-" + flags, image.input());
    }
    Image beyond = direct(new Image().eventIdx()).event(0x7fff, false, RING_EVENT_FLAGS_DESC);
    seeds.put("event-beyond", beyond.input());
    Image second = direct(new Image());
    second.position = 4;
    second.add(64, 1, 5, 0).add(64, 1, 6, 0).add(64, 1, 7, 0).add(64, 1, 8, 0);
    seeds.put("two-images", direct(new Image()).input(second.bytes.array()));
    seeds.put("start-beyond", new Image().startAt(1 << 14, true).input());
    hostile(seeds);
    seeds.put("nothing", new byte[RingRig.HEADER]);
    return seeds;
  }

  private static void hostile(TreeMap<String, byte[]> seeds) {
    Image whole = new Image();
    for (int i = 0; i < SIZE; i++) {
      whole.add(0, 0, i, NEXT);
    }
    seeds.put("whole-ring", whole.input());
    seeds.put("half-a-list", new Image().add(64, 1, 0, NEXT).input());
    seeds.put(
        "used-in-a-list",
        new Image()
            .add(64, 1, 0, NEXT)
            .raw(16, 64, 1, 0, VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)
            .input());
    Image twice = new Image();
    for (int i = 0; i < 4; i++) {
      twice.add(64, 1, 9, 0);
    }
    seeds.put("id-twice", twice.input());
    seeds.put("large-id", new Image().add(64, 1, 0xffff, 0).input());
    seeds.put("edge", new Image().add(0x1fff, 2, 0, 0).input());
    seeds.put("outside", new Image().add(0x2fff, 2, 0, 0).input());
    seeds.put("top", new Image().add(-1, 1, 0, 0).input());
    seeds.put("wrap", new Image().add(-1, 2, 0, 0).input());
    seeds.put("table-with-next", new Image().add(0x200, 16, 0, TABLE | NEXT).input());
    seeds.put("table-in-list", new Image().add(64, 1, 0, NEXT).add(0x200, 16, 0, TABLE).input());
    seeds.put("table-length", new Image().add(0x200, 17, 0, TABLE).input());
    seeds.put("table-of-the-ring", new Image().add(0, 16 * SIZE, 0, TABLE).input());
    seeds.put(
        "ring-as-buffer",
        new Image().add(0, 0x70, 0, NEXT).add(0, 0x70, 0, WRITE).add(64, 1, 1, 0).input());
  }

  private static Image direct(Image image) {
    int out = image.data("hello, device".getBytes());
    int in = image.data(new byte[32]);
    return image
        .add(out, 13, 0, NEXT)
        .add(in, 20, 0, WRITE | NEXT)
        .add(in + 20, 12, 3, WRITE)
        .add(out, 3, 4, 0);
  }

  private static Image indirect(Image image) {
    int out = image.data("hello, device".getBytes());
    int in = image.data(new byte[32]);
    int table = image.data(new byte[48]);
    return image
        .raw(table, out, 5, 0, 0)
        .raw(table + 16, out + 5, 8, 0, NEXT)
        .raw(table + 32, in, 32, 0, WRITE)
        .add(table, 48, 2, TABLE)
        .add(out, 4, 1, 0);
  }
}
