// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/**
 * Layout of the packed virtqueue (virtio 1.4, Packed Virtqueues).
 *
 * <pre>
 *   Descriptor Ring (Descriptor Area), align 16     Event Suppression (Driver and Device Area), align 4
 *   +0  le64 addr                                   +0 le16 desc: bits 0-14 offset, bit 15 wrap
 *   +8  le32 len                                    +2 le16 flags
 *   +12 le16 id
 *   +14 le16 flags        x queue size
 * </pre>
 */
public final class PackedRing {
  /** The largest queue size; any size from 1 is allowed. */
  public static final int MAX_QUEUE_SIZE = 32768;

  /** Size of one descriptor in bytes. */
  public static final int DESC_SIZE = 16;

  /** Alignment of the descriptor ring in bytes. */
  public static final int DESC_ALIGN = 16;

  /** Size of an event suppression structure in bytes. */
  public static final int EVENT_SIZE = 4;

  /** Alignment of an event suppression structure in bytes. */
  public static final int EVENT_ALIGN = 4;

  /** Offset of len in a descriptor; id and flags follow in the same 64 bits. */
  public static final int LEN = 8;

  /** Offset of id in a descriptor. */
  public static final int ID = 12;

  /** Offset of flags in a descriptor. */
  public static final int FLAGS = 14;

  /** The buffer continues in the descriptor behind this one. */
  public static final int VIRTQ_DESC_F_NEXT = 1;

  /** The element is device-writable; in a used descriptor: something was written. */
  public static final int VIRTQ_DESC_F_WRITE = 2;

  /** The element is a table of descriptors. */
  public static final int VIRTQ_DESC_F_INDIRECT = 4;

  /** Made available, where it equals the driver's wrap counter. */
  public static final int VIRTQ_DESC_F_AVAIL = 1 << 7;

  /** Used, where it equals the device's wrap counter. */
  public static final int VIRTQ_DESC_F_USED = 1 << 15;

  /** Event flags: notify always. */
  public static final int RING_EVENT_FLAGS_ENABLE = 0;

  /** Event flags: never notify. */
  public static final int RING_EVENT_FLAGS_DISABLE = 1;

  /** Event flags: notify for one descriptor; only with VIRTIO_F_EVENT_IDX. */
  public static final int RING_EVENT_FLAGS_DESC = 2;

  /** The bit of a wrap counter beside a 15-bit offset. */
  public static final int WRAP = 1 << 15;

  private PackedRing() {}

  /** Bytes of a descriptor ring. */
  public static long descSize(int queueSize) {
    return (long) DESC_SIZE * queueSize;
  }

  /** Whether the specification allows this queue size: 1 to 32768. */
  public static boolean isValidQueueSize(int queueSize) {
    return queueSize > 0 && queueSize <= MAX_QUEUE_SIZE;
  }

  /** Whether flags mark a descriptor as available to a device with this wrap counter. */
  public static boolean isAvailable(int flags, boolean wrap) {
    boolean avail = (flags & VIRTQ_DESC_F_AVAIL) != 0;
    boolean used = (flags & VIRTQ_DESC_F_USED) != 0;
    return avail == wrap && used != wrap;
  }

  /** Whether flags mark a descriptor as used to a driver with this wrap counter. */
  public static boolean isUsed(int flags, boolean wrap) {
    boolean avail = (flags & VIRTQ_DESC_F_AVAIL) != 0;
    boolean used = (flags & VIRTQ_DESC_F_USED) != 0;
    return avail == wrap && used == wrap;
  }

  /** The AVAIL and USED bits of a descriptor that is made available under this wrap counter. */
  public static int availableFlags(boolean wrap) {
    return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
  }

  /** The AVAIL and USED bits of a descriptor that is used under this wrap counter. */
  public static int usedFlags(boolean wrap) {
    return wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
  }

  /**
   * Whether the other side wants to hear of a batch of descriptors (Driver and Device Event
   * Suppression).
   *
   * @param event its structure: desc in the low, flags in the high 16 bits
   * @param position the descriptor behind the batch, 0 to queue size - 1
   * @param wrap the wrap counter at that position
   * @param count descriptors of the batch, at most the queue size
   * @param eventIdx whether VIRTIO_F_EVENT_IDX was negotiated
   */
  public static boolean needEvent(
      int event, int position, boolean wrap, int count, int queueSize, boolean eventIdx) {
    int flags = event >>> 16 & 3;
    if (flags != RING_EVENT_FLAGS_DESC || !eventIdx) {
      // What is reserved, and what was not negotiated, must not lose a notification.
      return flags != RING_EVENT_FLAGS_DISABLE;
    }
    int offset = event & (WRAP - 1);
    if (((event & WRAP) != 0) != wrap) {
      offset -= queueSize; // in the lap before
    }
    return SplitRing.needEvent(offset, position, position - count);
  }
}
