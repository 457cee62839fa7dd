// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.PackedRing.DESC_SIZE;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_WRITE;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.ScriptedDevice.Element;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The scripted device's side of a packed ring. */
final class PackedDeviceHalf extends DeviceHalf {
  private final DriverMemory memory;
  private final PackedRawRing ring;
  private final int size;
  private final boolean indirect;
  private final boolean eventIdx;

  /** By id: how many descriptors of the ring a buffer in flight takes. */
  private final Map<Integer, Integer> outstanding = new HashMap<>();

  private int held;
  private boolean availWrap;
  private boolean usedWrap;
  private int unpublished;
  private int firstPosition;
  private int firstFlags;
  int nextAvail;
  int nextUsed;

  PackedDeviceHalf(DriverMemory memory, PackedRawRing ring, FeatureBits features) {
    this.memory = memory;
    this.ring = ring;
    this.size = ring.layout().size();
    this.indirect = features.has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    this.eventIdx = features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    this.nextAvail = ring.layout().start() & (PackedRing.WRAP - 1);
    this.availWrap = (ring.layout().start() & PackedRing.WRAP) != 0;
    this.nextUsed = nextAvail;
    this.usedWrap = availWrap;
  }

  PackedRawRing ring() {
    return ring;
  }

  boolean usedWrap() {
    return usedWrap;
  }

  private boolean isAvailable(int position, boolean wrap) {
    return PackedRing.isAvailable(ring.flags(position), wrap);
  }

  @Override
  int available() {
    int position = nextAvail;
    boolean wrap = availWrap;
    int count = 0;
    for (int i = held; i < size && isAvailable(position, wrap); i++) {
      count += (ring.flags(position) & VIRTQ_DESC_F_NEXT) == 0 ? 1 : 0;
      if (++position == size) {
        position = 0;
        wrap = !wrap;
      }
    }
    return count;
  }

  @Override
  Taken take() {
    if (!isAvailable(nextAvail, availWrap)) {
      return null;
    }
    List<Element> elements = new ArrayList<>();
    int descriptors = 0;
    boolean table = false;
    PackedRawRing.Descriptor descriptor;
    do {
      int position = nextAvail;
      check(held + ++descriptors <= size, position, "overwrites what is in flight");
      check(isAvailable(position, availWrap), position, "has a list that is not all available");
      descriptor = ring.descriptor(position);
      if ((descriptor.flags() & VIRTQ_DESC_F_INDIRECT) != 0) {
        check(indirect, position, "is indirect, which was not negotiated");
        check(
            descriptors == 1 && (descriptor.flags() & VIRTQ_DESC_F_NEXT) == 0,
            position,
            "is indirect in a list");
        table = true;
        walkTable(position, descriptor, elements);
      } else {
        elements.add(element(descriptor));
      }
      if (++nextAvail == size) {
        nextAvail = 0;
        availWrap = !availWrap;
      }
    } while ((descriptor.flags() & VIRTQ_DESC_F_NEXT) != 0);
    int id = descriptor.id();
    check(!outstanding.containsKey(id), id, "is in flight already");
    outstanding.put(id, descriptors);
    held += descriptors;
    return new Taken(id, table, elements);
  }

  private void walkTable(
      int position, PackedRawRing.Descriptor descriptor, List<Element> elements) {
    check(
        descriptor.len() > 0 && descriptor.len() % DESC_SIZE == 0,
        position,
        "has an indirect table of " + descriptor.len() + " bytes");
    MemorySegment table = RawRing.slice(memory, descriptor.addr(), descriptor.len());
    for (long offset = 0; offset < descriptor.len(); offset += DESC_SIZE) {
      PackedRawRing.Descriptor entry = ring.tableEntry(table, offset);
      check(
          (entry.flags() & ~VIRTQ_DESC_F_WRITE) == 0,
          position,
          "has flags other than WRITE in its indirect table");
      elements.add(element(entry));
    }
  }

  private static Element element(PackedRawRing.Descriptor descriptor) {
    return new Element(
        descriptor.addr(), descriptor.len(), (descriptor.flags() & VIRTQ_DESC_F_WRITE) != 0);
  }

  @Override
  void put(List<Integer> skipped, long id, long length) {
    int flags = PackedRing.usedFlags(usedWrap) | (length != 0 ? VIRTQ_DESC_F_WRITE : 0);
    ring.used(nextUsed, length, (int) id);
    if (unpublished == 0) {
      firstPosition = nextUsed;
      firstFlags = flags;
    } else {
      ring.flags(nextUsed, flags);
    }
    int descriptors = release((int) id, 1);
    for (int one : skipped) {
      descriptors += release(one, 0);
    }
    unpublished += descriptors;
    nextUsed += descriptors;
    if (nextUsed >= size) {
      nextUsed -= size;
      usedWrap = !usedWrap;
    }
  }

  private int release(int id, int otherwise) {
    Integer descriptors = outstanding.remove(id);
    held -= descriptors == null ? 0 : descriptors;
    return descriptors == null ? otherwise : descriptors;
  }

  @Override
  boolean publish() {
    int count = unpublished;
    if (count > 0) {
      unpublished = 0;
      ring.flags(firstPosition, firstFlags);
    }
    VarHandle.fullFence();
    return PackedRing.needEvent(ring.driverEvent(), nextUsed, usedWrap, count, size, eventIdx);
  }

  @Override
  boolean enableNotifications() {
    int flags = eventIdx ? PackedRing.RING_EVENT_FLAGS_DESC : PackedRing.RING_EVENT_FLAGS_ENABLE;
    ring.deviceEvent(PackedRawRing.event(nextAvail, availWrap, flags));
    VarHandle.fullFence();
    return !isAvailable(nextAvail, availWrap);
  }

  @Override
  void disableNotifications() {
    ring.deviceEvent(PackedRawRing.event(0, false, PackedRing.RING_EVENT_FLAGS_DISABLE));
  }
}
