// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.SplitRing;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.BitSet;

/** The scripted driver's side of a split ring. */
final class SplitDriverHalf extends DriverHalf {
  private final RawRing ring;
  private final boolean eventIdx;
  private final boolean inOrder;
  private final BitSet free = new BitSet();
  private int nextSlot;
  private int publishedAvail;
  int nextAvail;
  int nextUsed;

  SplitDriverHalf(RawRing ring, boolean eventIdx, boolean inOrder) {
    this.ring = ring;
    this.eventIdx = eventIdx;
    this.inOrder = inOrder;
    this.free.set(0, ring.layout().size());
    this.nextAvail = ring.layout().start();
    this.publishedAvail = nextAvail;
    this.nextUsed = nextAvail;
  }

  RawRing ring() {
    return ring;
  }

  @Override
  int[] takeFree(int count) {
    if (count > free.cardinality()) {
      throw new IllegalStateException(
          count + " descriptors wanted, " + free.cardinality() + " are free");
    }
    if (!inOrder) {
      return free.stream().limit(count).toArray();
    }
    int[] slots = new int[count];
    for (int i = 0; i < count; i++) {
      slots[i] = (nextSlot + i) % ring.layout().size();
    }
    nextSlot = (nextSlot + count) % ring.layout().size();
    return slots;
  }

  @Override
  void descriptor(int[] slots, int at, int id, long addr, long len, int flags) {
    ring.descriptor(slots[at], addr, len, flags, at + 1 < slots.length ? slots[at + 1] : 0);
  }

  @Override
  void tableEntry(MemorySegment table, int at, long addr, long len, int flags) {
    boolean more = (flags & SplitRing.VIRTQ_DESC_F_NEXT) != 0;
    ring.descriptor(table, (long) SplitRing.DESC_SIZE * at, addr, len, flags, more ? at + 1 : 0);
  }

  @Override
  int idOf(int[] slots) {
    return slots[0];
  }

  @Override
  void add(TestChain chain) {
    chain.descriptors().forEach(free::clear);
    addHead(chain.head());
  }

  void addHead(int head) {
    ring.availEntry(nextAvail, head);
    nextAvail = (nextAvail + 1) & 0xffff;
  }

  @Override
  boolean publish() {
    int before = publishedAvail;
    publishedAvail = nextAvail;
    ring.availIdx(nextAvail);
    VarHandle.fullFence();
    return eventIdx
        ? SplitRing.needEvent(ring.availEvent(), nextAvail, before)
        : (ring.usedFlags() & SplitRing.VIRTQ_USED_F_NO_NOTIFY) == 0;
  }

  private int pending() {
    return (ring.usedIdx() - nextUsed) & 0xffff;
  }

  @Override
  Entry next() {
    return pending() == 0 ? null : new Entry(ring.usedId(nextUsed), ring.usedLen(nextUsed));
  }

  /** Buffers, not elements, count in the used idx. */
  int waiting() {
    return pending();
  }

  @Override
  void advance(int buffers, int descriptors) {
    nextUsed = (nextUsed + buffers) & 0xffff;
  }

  @Override
  void free(TestChain chain) {
    chain.descriptors().forEach(free::set);
  }

  @Override
  int freeDescriptors() {
    return free.cardinality();
  }

  @Override
  boolean enableNotifications() {
    if (eventIdx) {
      ring.usedEvent(nextUsed);
    } else {
      ring.availFlags(0);
    }
    VarHandle.fullFence();
    return pending() == 0;
  }

  @Override
  void disableNotifications() {
    if (eventIdx) {
      // Half a turn ahead: as far from the next used buffer as an index can be.
      ring.usedEvent((nextUsed + 0x8000) & 0xffff);
    } else {
      ring.availFlags(SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
  }
}
