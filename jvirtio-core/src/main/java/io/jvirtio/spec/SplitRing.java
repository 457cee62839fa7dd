// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/**
 * Layout of the split virtqueue (virtio 1.4, Split Virtqueues).
 *
 * <pre>
 *   Descriptor Table (Descriptor Area), align 16      Available Ring (Driver Area), align 2
 *   +0  le64 addr                                     +0    le16 flags
 *   +8  le32 len                                      +2    le16 idx
 *   +12 le16 flags                                    +4    le16 ring[queue size]
 *   +14 le16 next          x queue size               +4+2n le16 used_event
 *
 *   Used Ring (Device Area), align 4
 *   +0    le16 flags
 *   +2    le16 idx
 *   +4    { le32 id, le32 len } ring[queue size]
 *   +4+8n le16 avail_event
 * </pre>
 */
public final class SplitRing {
  /** The largest queue size. */
  public static final int MAX_QUEUE_SIZE = 32768;

  /** Size of one descriptor in bytes. */
  public static final int DESC_SIZE = 16;

  /** Alignment of the descriptor table in bytes. */
  public static final int DESC_ALIGN = 16;

  /** Alignment of the available ring in bytes. */
  public static final int AVAIL_ALIGN = 2;

  /** Alignment of the used ring in bytes. */
  public static final int USED_ALIGN = 4;

  /** Offset of flags in the available and in the used ring. */
  public static final int FLAGS = 0;

  /** Offset of idx in the available and in the used ring. */
  public static final int IDX = 2;

  /** Offset of the first entry in the available and in the used ring. */
  public static final int RING = 4;

  /** Size of one entry of the available ring in bytes. */
  public static final int AVAIL_ENTRY_SIZE = 2;

  /** Size of one entry of the used ring in bytes. */
  public static final int USED_ENTRY_SIZE = 8;

  /** The buffer continues in the descriptor {@code next}. */
  public static final int VIRTQ_DESC_F_NEXT = 1;

  /** The buffer is device-writable. */
  public static final int VIRTQ_DESC_F_WRITE = 2;

  /** The buffer holds a table of descriptors. */
  public static final int VIRTQ_DESC_F_INDIRECT = 4;

  /** In the available ring's flags: the driver does not want used buffer notifications. */
  public static final int VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

  /** In the used ring's flags: the device does not want available buffer notifications. */
  public static final int VIRTQ_USED_F_NO_NOTIFY = 1;

  private SplitRing() {}

  /** Bytes of a descriptor table. */
  public static long descSize(int queueSize) {
    return (long) DESC_SIZE * queueSize;
  }

  /** Bytes of an available ring, used_event included. */
  public static long availSize(int queueSize) {
    return 6L + (long) AVAIL_ENTRY_SIZE * queueSize;
  }

  /** Bytes of a used ring, avail_event included. */
  public static long usedSize(int queueSize) {
    return 6L + (long) USED_ENTRY_SIZE * queueSize;
  }

  /**
   * Where the used ring starts when the queue is one piece, as the legacy interface wants it
   * (Legacy Interfaces: A Note on Virtqueue Layout).
   *
   * @param align a power of two: 4096 over PCI, the driver's choice over MMIO
   */
  public static long legacyUsedOffset(int queueSize, int align) {
    return (descSize(queueSize) + availSize(queueSize) + align - 1) & -(long) align;
  }

  /**
   * Bytes of a whole virtqueue in the layout of the legacy interface: virtq_size() of the same
   * section.
   *
   * @param align a power of two
   */
  public static long vringSize(int queueSize, int align) {
    return legacyUsedOffset(queueSize, align) + ((usedSize(queueSize) + align - 1) & -(long) align);
  }

  /** Whether the specification allows this queue size: a power of two, 1 to 32768. */
  public static boolean isValidQueueSize(int queueSize) {
    return queueSize > 0 && queueSize <= MAX_QUEUE_SIZE && Integer.bitCount(queueSize) == 1;
  }

  /**
   * Whether index {@code event} lies in the batch that moved idx from {@code before} to {@code
   * after}, so that a notification is due (Used Buffer Notification Suppression). All three are
   * 16-bit counters that wrap.
   */
  public static boolean needEvent(int event, int after, int before) {
    return ((after - event - 1) & 0xffff) < ((after - before) & 0xffff);
  }
}
