// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;

/**
 * What a driver and a transport have agreed on for one queue.
 *
 * @param size the queue size, in descriptors
 * @param descriptorArea guest address of the descriptor table
 * @param driverArea guest address of the available ring
 * @param deviceArea guest address of the used ring
 * @param start the free-running index at which both rings start; 0 after a reset
 */
public record QueueLayout(
    int size, long descriptorArea, long driverArea, long deviceArea, int start) {

  /**
   * Makes the device side of the queue, when everything is as the specification demands (virtio
   * 1.4, Split Virtqueues: sizes and alignments) and inside guest memory.
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
    if (!SplitRing.isValidQueueSize(size) || size > maxSize) {
      throw new PeerFault(FaultReason.QUEUE_SIZE_INVALID, size);
    }
    long desc = area(memory, descriptorArea, SplitRing.descSize(size), SplitRing.DESC_ALIGN);
    long avail = area(memory, driverArea, SplitRing.availSize(size), SplitRing.AVAIL_ALIGN);
    long used = area(memory, deviceArea, SplitRing.usedSize(size), SplitRing.USED_ALIGN);
    return new SplitDeviceQueue(
        index,
        this,
        memory,
        new SplitDeviceQueue.Addresses(desc, avail, used),
        features.has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC),
        features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX),
        bigEndian,
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
