// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;

/**
 * What a driver and a transport have agreed on for one queue.
 *
 * @param size the queue size, in descriptors
 * @param descriptorArea guest address of the descriptor table or ring
 * @param driverArea guest address of the available ring (split) or of the driver's event
 *     suppression structure (packed)
 * @param deviceArea guest address of the used ring (split) or of the device's event suppression
 *     structure (packed)
 * @param start where both sides start: the free-running index of a split ring, 0 after a reset; of
 *     a packed ring the position in bits 0 to 14 and the wrap counter in bit 15, {@link
 *     #PACKED_START} after a reset
 */
public record QueueLayout(
    int size, long descriptorArea, long driverArea, long deviceArea, int start) {

  /** Where a packed ring starts after a reset: at 0, the wrap counter set. */
  public static final int PACKED_START = PackedRing.WRAP;

  /**
   * Makes the device side of the queue, when everything is as the specification demands (virtio
   * 1.4, Split Virtqueues and Packed Virtqueues: sizes and alignments) and inside guest memory.
   *
   * @param index the queue's number
   * @param maxSize the largest queue size that the device offers
   * @param features what was negotiated
   * @param bigEndian whether the session is a legacy one of a big-endian guest
   * @param counters where the queue counts; they outlive it
   * @throws PeerFault when the driver's choice is not allowed
   */
  public DeviceQueue open(
      int index,
      int maxSize,
      FeatureBits features,
      GuestMemory memory,
      boolean bigEndian,
      QueueCounters counters)
      throws PeerFault {
    return features.has(ReservedFeatures.VIRTIO_F_RING_PACKED)
        ? openPacked(index, maxSize, features, memory, counters)
        : openSplit(index, maxSize, features, memory, bigEndian, counters);
  }

  private DeviceQueue openSplit(
      int index,
      int maxSize,
      FeatureBits features,
      GuestMemory memory,
      boolean bigEndian,
      QueueCounters counters)
      throws PeerFault {
    if (!SplitRing.isValidQueueSize(size) || size > maxSize) {
      throw new PeerFault(FaultReason.QUEUE_SIZE_INVALID, size);
    }
    return new SplitDeviceQueue(
        index,
        this,
        memory,
        new DeviceQueue.Addresses(
            area(memory, descriptorArea, SplitRing.descSize(size), SplitRing.DESC_ALIGN),
            area(memory, driverArea, SplitRing.availSize(size), SplitRing.AVAIL_ALIGN),
            area(memory, deviceArea, SplitRing.usedSize(size), SplitRing.USED_ALIGN)),
        features.has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC),
        features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX),
        features.has(ReservedFeatures.VIRTIO_F_IN_ORDER),
        bigEndian,
        counters);
  }

  private DeviceQueue openPacked(
      int index, int maxSize, FeatureBits features, GuestMemory memory, QueueCounters counters)
      throws PeerFault {
    if (!PackedRing.isValidQueueSize(size) || size > maxSize) {
      throw new PeerFault(FaultReason.QUEUE_SIZE_INVALID, size);
    }
    if ((start & (PackedRing.WRAP - 1)) >= size) {
      throw new PeerFault(FaultReason.RING_START_INVALID, start);
    }
    return new PackedDeviceQueue(
        index,
        this,
        memory,
        new DeviceQueue.Addresses(
            area(memory, descriptorArea, PackedRing.descSize(size), PackedRing.DESC_ALIGN),
            area(memory, driverArea, PackedRing.EVENT_SIZE, PackedRing.EVENT_ALIGN),
            area(memory, deviceArea, PackedRing.EVENT_SIZE, PackedRing.EVENT_ALIGN)),
        features.has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC),
        features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX),
        features.has(ReservedFeatures.VIRTIO_F_IN_ORDER),
        counters);
  }

  private static long area(GuestMemory memory, long address, long bytes, int alignment)
      throws PeerFault {
    long host = memory.contiguous(address, bytes);
    // Both must be aligned: the guest's address by the specification, ours because atomic accesses
    // need it and a peer chooses the offset at which its memory is mapped.
    if (((address | host) & (alignment - 1)) != 0) {
      throw new PeerFault(FaultReason.RING_MISALIGNED, address);
    }
    return host;
  }
}
