// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.PackedRing;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.BitSet;

/** The scripted driver's side of a packed ring. */
final class PackedDriverHalf extends DriverHalf {
  /** What stands where a device must not look: the id in all but the last descriptor. */
  private static final int NO_ID = 0xdead;

  private final PackedRawRing ring;
  private final boolean eventIdx;
  private final int size;
  private final BitSet ids = new BitSet();
  private int freeCount;
  private boolean availWrap;
  private int unpublished;
  private int firstFlags;
  private int firstPosition;
  int nextAvail;
  int nextUsed;
  boolean usedWrap;

  PackedDriverHalf(PackedRawRing ring, boolean eventIdx) {
    this.ring = ring;
    this.eventIdx = eventIdx;
    this.size = ring.layout().size();
    this.freeCount = size;
    this.nextAvail = ring.layout().start() & (PackedRing.WRAP - 1);
    this.availWrap = (ring.layout().start() & PackedRing.WRAP) != 0;
    this.nextUsed = nextAvail;
    this.usedWrap = availWrap;
  }

  PackedRawRing ring() {
    return ring;
  }

  boolean availWrap() {
    return availWrap;
  }

  @Override
  int[] takeFree(int count) {
    if (count > freeCount) {
      throw new IllegalStateException(count + " descriptors wanted, " + freeCount + " are free");
    }
    int[] slots = new int[count];
    for (int i = 0; i < count; i++) {
      slots[i] = (nextAvail + i) % size;
    }
    return slots;
  }

  @Override
  void descriptor(int[] slots, int at, int id, long addr, long len, int flags) {
    int position = nextAvail;
    int all = flags | PackedRing.availableFlags(availWrap);
    ring.body(position, addr, len, at == slots.length - 1 ? id : NO_ID);
    if (unpublished++ == 0) {
      firstPosition = position;
      firstFlags = all;
    } else {
      ring.flags(position, all);
    }
    if (++nextAvail == size) {
      nextAvail = 0;
      availWrap = !availWrap;
    }
  }

  @Override
  void tableEntry(MemorySegment table, int at, long addr, long len, int flags) {
    ring.tableEntry(
        table,
        (long) PackedRing.DESC_SIZE * at,
        addr,
        len,
        NO_ID,
        flags & PackedRing.VIRTQ_DESC_F_WRITE);
  }

  @Override
  int idOf(int[] slots) {
    return ids.nextClearBit(0);
  }

  @Override
  void add(TestChain chain) {
    ids.set(chain.head());
    freeCount -= chain.descriptors().size();
  }

  @Override
  boolean publish() {
    int count = unpublished;
    if (count > 0) {
      unpublished = 0;
      ring.flags(firstPosition, firstFlags);
    }
    VarHandle.fullFence();
    return PackedRing.needEvent(ring.deviceEvent(), nextAvail, availWrap, count, size, eventIdx);
  }

  boolean isUsed(int position, boolean wrap) {
    return PackedRing.isUsed(ring.flags(position), wrap);
  }

  @Override
  Entry next() {
    return isUsed(nextUsed, usedWrap) ? entry(nextUsed) : null;
  }

  Entry entry(int position) {
    boolean written = (ring.flags(position) & PackedRing.VIRTQ_DESC_F_WRITE) != 0;
    return new Entry(ring.id(position), written ? ring.len(position) : 0);
  }

  @Override
  void advance(int buffers, int descriptors) {
    nextUsed += descriptors;
    if (nextUsed >= size) {
      nextUsed -= size;
      usedWrap = !usedWrap;
    }
  }

  @Override
  void free(TestChain chain) {
    ids.clear(chain.head());
    freeCount += chain.descriptors().size();
  }

  @Override
  int freeDescriptors() {
    return freeCount;
  }

  @Override
  boolean enableNotifications() {
    int flags = eventIdx ? PackedRing.RING_EVENT_FLAGS_DESC : PackedRing.RING_EVENT_FLAGS_ENABLE;
    ring.driverEvent(PackedRawRing.event(nextUsed, usedWrap, flags));
    VarHandle.fullFence();
    return !isUsed(nextUsed, usedWrap);
  }

  @Override
  void disableNotifications() {
    ring.driverEvent(PackedRawRing.event(0, false, PackedRing.RING_EVENT_FLAGS_DISABLE));
  }
}
