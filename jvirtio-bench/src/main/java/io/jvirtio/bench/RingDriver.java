// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import static io.jvirtio.spec.SplitRing.AVAIL_ENTRY_SIZE;
import static io.jvirtio.spec.SplitRing.DESC_SIZE;
import static io.jvirtio.spec.SplitRing.FLAGS;
import static io.jvirtio.spec.SplitRing.IDX;
import static io.jvirtio.spec.SplitRing.RING;
import static io.jvirtio.spec.SplitRing.USED_ENTRY_SIZE;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;
import static io.jvirtio.spec.SplitRing.VIRTQ_USED_F_NO_NOTIFY;

import io.jvirtio.raw.RawMemory;
import io.jvirtio.spec.SplitRing;
import java.lang.invoke.VarHandle;

/**
 * The least that a driver can do on a split ring and still keep its rules (virtio 1.4, Split
 * Virtqueues): it writes every descriptor of every request, and checks what it gets back. The
 * buffers come back in order, as this benchmark's device gives them. One thread.
 */
final class RingDriver {
  /** How a request lies in the ring. */
  enum Shape {
    /** One writable descriptor. */
    SINGLE(1, false),
    /** A block request: a readable header, a page, a writable status; three descriptors. */
    CHAIN(3, false),
    /** The same three in an indirect table. */
    INDIRECT(3, true);

    final int segments;
    final boolean indirect;

    Shape(int segments, boolean indirect) {
      this.segments = segments;
      this.indirect = indirect;
    }
  }

  /** Room for one chain or one indirect table, in descriptors. */
  private static final int STRIDE = 4;

  private static final int PAGE = 4096;

  private final int size;
  private final long desc;
  private final long avail;
  private final long used;
  private final long tables;
  private final Shape shape;
  private final boolean eventIdx;

  /** Free-running, both of them. */
  private int nextAvail;

  private int nextUsed;

  /**
   * @param size the queue size
   * @param base absolute address of {@link #memorySize} zeroed bytes, a multiple of 4096, which is
   *     guest address and host address at once
   */
  RingDriver(int size, long base, Shape shape, boolean eventIdx) {
    this.size = size;
    this.desc = base;
    this.avail = desc + SplitRing.descSize(size);
    // In cache lines of its own, as a driver would do it.
    this.used = (avail + SplitRing.availSize(size) + 4095) & -4096;
    this.tables = (used + SplitRing.usedSize(size) + 4095) & -4096;
    this.shape = shape;
    this.eventIdx = eventIdx;
  }

  /**
   * Bytes that a driver needs: the ring, the indirect tables, and one page that all requests use.
   */
  static long memorySize(int size) {
    return 2L * PAGE
        + SplitRing.descSize(size)
        + SplitRing.availSize(size)
        + SplitRing.usedSize(size)
        + (long) size * STRIDE * DESC_SIZE
        + 2L * PAGE;
  }

  long desc() {
    return desc;
  }

  long avail() {
    return avail;
  }

  long used() {
    return used;
  }

  /**
   * Makes requests available and publishes them together.
   *
   * @return whether the device must be notified
   */
  boolean submit(int count) {
    int before = nextAvail;
    for (int i = 0; i < count; i++) {
      long entry = avail + RING + (long) AVAIL_ENTRY_SIZE * (nextAvail & (size - 1));
      RawMemory.putShort(entry, fill());
      nextAvail = (nextAvail + 1) & 0xffff;
    }
    RawMemory.putShortRelease(avail + IDX, nextAvail);
    VarHandle.fullFence();
    if (eventIdx) {
      int event = RawMemory.getShort(used + RING + (long) USED_ENTRY_SIZE * size);
      return SplitRing.needEvent(event, nextAvail, before);
    }
    return (RawMemory.getShort(used + FLAGS) & VIRTQ_USED_F_NO_NOTIFY) == 0;
  }

  private int fill() {
    long buffers = tables + (long) size * STRIDE * DESC_SIZE;
    if (shape.segments == 1) {
      int head = nextAvail & (size - 1);
      put(desc, head, buffers, PAGE, VIRTQ_DESC_F_WRITE, 0);
      return head;
    }
    if (shape.indirect) {
      int head = nextAvail & (size - 1);
      long table = tables + (long) head * STRIDE * DESC_SIZE;
      chain(table, 0, buffers);
      put(desc, head, table, 3 * DESC_SIZE, VIRTQ_DESC_F_INDIRECT, 0);
      return head;
    }
    int head = nextAvail * STRIDE & (size - 1);
    chain(desc, head, buffers);
    return head;
  }

  private static void chain(long table, int first, long buffers) {
    put(table, first, buffers, 16, VIRTQ_DESC_F_NEXT, first + 1);
    put(table, first + 1, buffers, PAGE, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, first + 2);
    put(table, first + 2, buffers + PAGE, 1, VIRTQ_DESC_F_WRITE, 0);
  }

  private static void put(long table, int at, long address, int length, int flags, int next) {
    long slot = table + (long) DESC_SIZE * at;
    RawMemory.putLong(slot, address);
    RawMemory.putLong(slot + 8, (long) next << 48 | (long) flags << 32 | length);
  }

  /**
   * Takes back requests.
   *
   * @return the sum of the bytes that the device says it wrote
   * @throws IllegalStateException when there are not as many, or not in order
   */
  long reap(int count) {
    int idx = RawMemory.getShortAcquire(used + IDX);
    if (((idx - nextUsed) & 0xffff) != count) {
      throw new IllegalStateException("used idx " + idx + " after " + nextUsed);
    }
    long bytes = 0;
    for (int i = 0; i < count; i++) {
      long entry = used + RING + (long) USED_ENTRY_SIZE * (nextUsed & (size - 1));
      int head = shape == Shape.CHAIN ? nextUsed * STRIDE & (size - 1) : nextUsed & (size - 1);
      if (RawMemory.getInt(entry) != head) {
        throw new IllegalStateException("buffer " + RawMemory.getInt(entry) + ", not " + head);
      }
      bytes += RawMemory.getInt(entry + 4);
      nextUsed = (nextUsed + 1) & 0xffff;
    }
    if (eventIdx) {
      RawMemory.putShort(avail + RING + (long) AVAIL_ENTRY_SIZE * size, nextUsed);
    }
    return bytes;
  }
}
