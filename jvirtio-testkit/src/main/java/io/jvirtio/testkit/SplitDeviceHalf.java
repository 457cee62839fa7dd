// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.DESC_SIZE;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.testkit.ScriptedDevice.Element;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/** The scripted device's side of a split ring. */
final class SplitDeviceHalf extends DeviceHalf {
  private final DriverMemory memory;
  private final RawRing ring;
  private final int size;
  private final boolean indirect;
  private final boolean eventIdx;
  private final boolean inOrder;

  /** By head: the descriptors of the table that a buffer in flight takes. */
  private final BitSet[] outstanding;

  private final BitSet busy = new BitSet();
  private int publishedUsed;
  int nextAvail;
  int nextUsed;

  SplitDeviceHalf(DriverMemory memory, RawRing ring, FeatureBits features) {
    this.memory = memory;
    this.ring = ring;
    this.size = ring.layout().size();
    this.indirect = features.has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    this.eventIdx = features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    this.inOrder = features.has(ReservedFeatures.VIRTIO_F_IN_ORDER);
    this.outstanding = new BitSet[size];
    this.nextAvail = ring.layout().start();
    this.nextUsed = nextAvail;
    this.publishedUsed = nextAvail;
  }

  RawRing ring() {
    return ring;
  }

  @Override
  int available() {
    return (ring.availIdx() - nextAvail) & 0xffff;
  }

  @Override
  Taken take() {
    int waiting = available();
    if (waiting == 0) {
      return null;
    }
    if (waiting > size) {
      throw new IllegalStateException(
          "available idx " + ring.availIdx() + " is " + waiting + " ahead");
    }
    int head = ring.availEntry(nextAvail);
    check(head < size, head, "is not below the queue size");
    check(outstanding[head] == null, head, "is in flight already");
    BitSet taken = new BitSet();
    List<Element> elements = new ArrayList<>();
    boolean table = walk(head, taken, elements);
    check(!taken.intersects(busy), head, "shares a descriptor with another buffer in flight");
    busy.or(taken);
    outstanding[head] = taken;
    nextAvail = (nextAvail + 1) & 0xffff;
    return new Taken(head, table, elements);
  }

  /** Follows the chain in the descriptor table; says whether it led to an indirect table. */
  private boolean walk(int head, BitSet taken, List<Element> elements) {
    int at = head;
    while (true) {
      check(at < size, head, "has a next that is not below the queue size");
      check(!taken.get(at), head, "is a loop");
      taken.set(at);
      RawRing.Descriptor descriptor = ring.descriptor(at);
      boolean more = (descriptor.flags() & VIRTQ_DESC_F_NEXT) != 0;
      if ((descriptor.flags() & VIRTQ_DESC_F_INDIRECT) != 0) {
        check(indirect, head, "is indirect, which was not negotiated");
        check(!more, head, "is indirect and has a next");
        check(
            descriptor.len() > 0 && descriptor.len() % DESC_SIZE == 0,
            head,
            "has an indirect table of " + descriptor.len() + " bytes");
        walkTable(head, descriptor, elements);
        return true;
      }
      elements.add(element(descriptor));
      if (!more) {
        return false;
      }
      check(
          !inOrder || descriptor.next() == (at + 1) % size,
          head,
          "does not go on with the next descriptor of the table, in order");
      at = descriptor.next();
    }
  }

  private void walkTable(int head, RawRing.Descriptor descriptor, List<Element> elements) {
    MemorySegment table = RawRing.slice(memory, descriptor.addr(), descriptor.len());
    int entries = (int) (descriptor.len() / DESC_SIZE);
    int at = 0;
    for (int steps = 0; ; steps++) {
      check(at < entries, head, "has a next that is not in its indirect table");
      check(steps < entries, head, "is a loop in its indirect table");
      check(!inOrder || at == steps, head, "has an indirect table that is not sequential");
      RawRing.Descriptor entry = ring.descriptor(table, (long) DESC_SIZE * at);
      check((entry.flags() & VIRTQ_DESC_F_INDIRECT) == 0, head, "is indirect in an indirect table");
      elements.add(element(entry));
      if ((entry.flags() & VIRTQ_DESC_F_NEXT) == 0) {
        return;
      }
      at = entry.next();
    }
  }

  private static Element element(RawRing.Descriptor descriptor) {
    return new Element(
        descriptor.addr(), descriptor.len(), (descriptor.flags() & VIRTQ_DESC_F_WRITE) != 0);
  }

  @Override
  void put(List<Integer> skipped, long id, long length) {
    skipped.forEach(this::release);
    release(id);
    ring.usedEntry(nextUsed, id, length);
    nextUsed = (nextUsed + skipped.size() + 1) & 0xffff;
  }

  private void release(long id) {
    if (id >= 0 && id < outstanding.length && outstanding[(int) id] != null) {
      busy.andNot(outstanding[(int) id]);
      outstanding[(int) id] = null;
    }
  }

  @Override
  boolean publish() {
    int before = publishedUsed;
    publishedUsed = nextUsed;
    ring.usedIdx(nextUsed);
    VarHandle.fullFence();
    return eventIdx
        ? SplitRing.needEvent(ring.usedEvent(), publishedUsed, before)
        : (ring.availFlags() & SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
  }

  void publish(int idx) {
    nextUsed = idx & 0xffff;
    publishedUsed = nextUsed;
    ring.usedIdx(idx);
  }

  @Override
  boolean enableNotifications() {
    if (eventIdx) {
      ring.availEvent(nextAvail);
    } else {
      ring.usedFlags(0);
    }
    VarHandle.fullFence();
    return available() == 0;
  }

  @Override
  void disableNotifications() {
    if (eventIdx) {
      // Half a turn ahead: as far from the next available buffer as an index can be.
      ring.availEvent((nextAvail + 0x8000) & 0xffff);
    } else {
      ring.usedFlags(SplitRing.VIRTQ_USED_F_NO_NOTIFY);
    }
  }
}
