// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.vhost.VhostUserRequest;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.TreeMap;

/** The inputs from which the fuzz targets start, by name. */
final class Corpus {
  private static final int LOG_SIZE = 3;
  private static final int SIZE = 1 << LOG_SIZE;

  private Corpus() {}

  /** A memory image with rings at its start, for {@link RingRig}. */
  private static final class Image {
    private final ByteBuffer bytes;
    private final RingRig.Kind kind;
    private boolean eventIdx;
    private int data = RingRig.behindRings(SIZE) + 15 & -16;
    private int available;

    Image(RingRig.Kind kind) {
      this.kind = kind;
      bytes =
          ByteBuffer.allocate(0x600)
              .order(
                  kind == RingRig.Kind.LEGACY_BIG_ENDIAN
                      ? ByteOrder.BIG_ENDIAN
                      : ByteOrder.LITTLE_ENDIAN);
    }

    Image eventIdx() {
      eventIdx = true;
      return this;
    }

    Image descriptor(int index, long addr, int len, int flags, int next) {
      return table(16 * index, addr, len, flags, next);
    }

    Image table(int at, long addr, int len, int flags, int next) {
      bytes.putLong(at, addr).putInt(at + 8, len);
      bytes.putShort(at + 12, (short) flags).putShort(at + 14, (short) next);
      return this;
    }

    /** Puts bytes into the image; where, is the answer. */
    int data(byte... content) {
      int at = data;
      bytes.put(at, content);
      data += content.length + 15 & -16;
      return at;
    }

    Image head(int index) {
      bytes.putShort(RingRig.availableRing(SIZE) + 4 + 2 * (available++ % SIZE), (short) index);
      return idx(available);
    }

    Image idx(int value) {
      bytes.putShort(RingRig.availableRing(SIZE) + 2, (short) value);
      return this;
    }

    byte[] input() {
      return input(new byte[0]);
    }

    byte[] input(byte[] second) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      out.writeBytes(RingRig.header(LOG_SIZE, kind, true, eventIdx, bytes.capacity()));
      out.writeBytes(bytes.array());
      out.writeBytes(second);
      return out.toByteArray();
    }

    byte[] image() {
      return bytes.array();
    }
  }

  static TreeMap<String, byte[]> splitQueue() {
    TreeMap<String, byte[]> seeds = new TreeMap<>();
    for (RingRig.Kind kind : RingRig.Kind.values()) {
      seeds.put("direct-" + kind.name().toLowerCase(), direct(kind).input());
      seeds.put("indirect-" + kind.name().toLowerCase(), indirect(kind).input());
    }
    seeds.put("event-idx", direct(RingRig.Kind.MODERN).eventIdx().input());
    Image second = direct(RingRig.Kind.MODERN).head(0).head(4);
    seeds.put("two-images", direct(RingRig.Kind.MODERN).eventIdx().input(second.image()));
    RingRig.Kind kind = RingRig.Kind.MODERN;
    int flags = VIRTQ_DESC_F_NEXT;
    seeds.put("loop", new Image(kind).descriptor(0, 64, 1, flags, 0).head(0).input());
    seeds.put("next-out", new Image(kind).descriptor(0, 64, 1, flags, SIZE).head(0).input());
    seeds.put("head-out", new Image(kind).head(SIZE).input());
    seeds.put("idx-jump", new Image(kind).idx(0x8000).input());
    seeds.put("edge", new Image(kind).descriptor(0, 0x1fff, 2, 0, 0).head(0).input());
    seeds.put("outside", new Image(kind).descriptor(0, 0x2fff, 2, 0, 0).head(0).input());
    seeds.put("top", new Image(kind).descriptor(0, -1, 1, 0, 0).head(0).input());
    seeds.put("wrap", new Image(kind).descriptor(0, -1, 2, 0, 0).head(0).input());
    int table = VIRTQ_DESC_F_INDIRECT;
    seeds.put(
        "nested",
        new Image(kind)
            .table(0x200, 0x200, 16, table, 0)
            .descriptor(0, 0x200, 16, table, 0)
            .head(0)
            .input());
    seeds.put(
        "rings-as-buffer",
        new Image(kind)
            .descriptor(0, 0, 0x100, flags, 1)
            .descriptor(1, 0, 0x100, VIRTQ_DESC_F_WRITE, 0)
            .head(0)
            .input());
    seeds.put("nothing", new byte[RingRig.HEADER]);
    return seeds;
  }

  private static Image direct(RingRig.Kind kind) {
    Image image = new Image(kind);
    int out = image.data("hello, device".getBytes());
    int in = image.data(new byte[32]);
    return image
        .descriptor(2, out, 13, VIRTQ_DESC_F_NEXT, 4)
        .descriptor(4, in, 20, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 1)
        .descriptor(1, in + 20, 12, VIRTQ_DESC_F_WRITE, 0)
        .descriptor(3, out, 3, 0, 0)
        .head(2)
        .head(3);
  }

  private static Image indirect(RingRig.Kind kind) {
    Image image = new Image(kind);
    int out = image.data("hello, device".getBytes());
    int in = image.data(new byte[32]);
    int table = image.data(new byte[48]);
    return image
        .table(table, out, 5, VIRTQ_DESC_F_NEXT, 2)
        .table(table + 32, out + 5, 8, VIRTQ_DESC_F_NEXT, 1)
        .table(table + 16, in, 32, VIRTQ_DESC_F_WRITE, 0)
        .descriptor(0, out, 4, VIRTQ_DESC_F_NEXT, 5)
        .descriptor(5, table, 48, VIRTQ_DESC_F_INDIRECT, 0)
        .head(0);
  }

  static TreeMap<String, byte[]> blkRequest() {
    TreeMap<String, byte[]> seeds = new TreeMap<>();
    for (RingRig.Kind kind : RingRig.Kind.values()) {
      seeds.put("read-" + kind.name().toLowerCase(), blk(kind, VirtioBlk.VIRTIO_BLK_T_IN, 0, 512));
    }
    RingRig.Kind kind = RingRig.Kind.MODERN;
    seeds.put("write", blk(kind, VirtioBlk.VIRTIO_BLK_T_OUT, 512, 0));
    seeds.put("flush", blk(kind, VirtioBlk.VIRTIO_BLK_T_FLUSH, 0, 0));
    seeds.put("get-id", blk(kind, VirtioBlk.VIRTIO_BLK_T_GET_ID, 0, 20));
    seeds.put("lifetime", blk(kind, VirtioBlk.VIRTIO_BLK_T_GET_LIFETIME, 0, 8));
    seeds.put("discard", blk(kind, VirtioBlk.VIRTIO_BLK_T_DISCARD, 16, 0));
    seeds.put("write-zeroes", blk(kind, VirtioBlk.VIRTIO_BLK_T_WRITE_ZEROES, 32, 0));
    seeds.put("secure-erase", blk(kind, VirtioBlk.VIRTIO_BLK_T_SECURE_ERASE, 16, 0));
    seeds.put("zone-report", blk(kind, VirtioBlk.VIRTIO_BLK_T_ZONE_REPORT, 0, 64));
    seeds.put("not-whole-sectors", blk(kind, VirtioBlk.VIRTIO_BLK_T_IN, 0, 100));
    return seeds;
  }

  private static byte[] blk(RingRig.Kind kind, int type, int out, int in) {
    Image image = new Image(kind);
    ByteBuffer header = ByteBuffer.allocate(16 + out).order(image.bytes.order());
    header.putInt(type).putInt(0).putLong(type == VirtioBlk.VIRTIO_BLK_T_IN ? 5 : 0);
    if (out == 16 || out == 32) {
      header.putLong(16, 8).putInt(24, 16).putInt(28, 0);
    }
    int request = image.data(header.array());
    int status = image.data(new byte[in + 1]);
    int more = VIRTQ_DESC_F_NEXT;
    image.descriptor(0, request, 16, more, out > 0 ? 1 : 2);
    image.descriptor(1, request + 16, out, more, 2);
    image.descriptor(2, status, in + 1, VIRTQ_DESC_F_WRITE, 0);
    return image.head(0).input();
  }

  static TreeMap<String, byte[]> vhostUserCodec() {
    TreeMap<String, byte[]> seeds = new TreeMap<>();
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    for (VhostUserRequest request : VhostUserRequest.values()) {
      byte[] message = message(request);
      seeds.put(request.name().toLowerCase().replace('_', '-'), message);
      all.writeBytes(message);
    }
    seeds.put("all", all.toByteArray());
    return seeds;
  }

  private static byte[] message(VhostUserRequest request) {
    ByteBuffer payload = ByteBuffer.allocate(256).order(ByteOrder.nativeOrder());
    int fds = request.minFds();
    switch (request.payload()) {
      case NONE -> {}
      case U64 -> payload.putLong(1L << 32);
      case VRING_STATE -> payload.putInt(1).putInt(128);
      case VRING_ADDRESS ->
          payload.putInt(1).putInt(0).putLong(0x1000).putLong(0x2000).putLong(0x3000).putLong(0);
      case VRING_FD -> {
        payload.putLong(3);
        fds = 1;
      }
      case MEMORY_TABLE -> {
        payload.putInt(2).putInt(0);
        region(region(payload, 0), 0x10_0000);
        fds = 2;
      }
      case MEMORY_REGION -> region(payload.putLong(0), 0x4000);
      case CONFIG -> payload.putInt(32).putInt(1).putInt(0).put((byte) 1);
    }
    int size = payload.position();
    return ByteBuffer.allocate(13 + size)
        .order(ByteOrder.nativeOrder())
        .put((byte) fds)
        .putInt(request.id())
        .putInt(1)
        .putInt(size)
        .put(payload.flip())
        .array();
  }

  private static ByteBuffer region(ByteBuffer payload, long address) {
    return payload.putLong(address).putLong(0x8000).putLong(0x7f00_0000_0000L + address).putLong(0);
  }
}
