// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.SplitRing;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * The three parts of a split virtqueue as naked memory (virtio 1.4, Split Virtqueues): every field
 * can be read and written, whatever the rules say. Nothing is checked, nothing is remembered,
 * nothing is allocated.
 *
 * <p>Stores of an idx are releases and loads of one are acquires; all the rest is plain. Any
 * thread.
 */
public final class RawRing {
  private static final VarHandle SHORT = handle(ValueLayout.JAVA_SHORT);
  private static final VarHandle INT = handle(ValueLayout.JAVA_INT);
  private static final VarHandle SHORT_UNALIGNED = handle(ValueLayout.JAVA_SHORT_UNALIGNED);
  private static final VarHandle INT_UNALIGNED = handle(ValueLayout.JAVA_INT_UNALIGNED);
  private static final VarHandle LONG_UNALIGNED = handle(ValueLayout.JAVA_LONG_UNALIGNED);

  private final QueueLayout layout;
  private final boolean swap;
  private final MemorySegment desc;
  private final MemorySegment avail;
  private final MemorySegment used;
  private final int mask;

  /**
   * The ring at this place.
   *
   * @param layout every part inside one region and aligned
   * @param order little-endian, except in a legacy session
   */
  public RawRing(TestMemory memory, QueueLayout layout, ByteOrder order) {
    this(
        layout,
        order,
        memory.slice(layout.descriptorArea(), SplitRing.descSize(layout.size())),
        memory.slice(layout.driverArea(), SplitRing.availSize(layout.size())),
        memory.slice(layout.deviceArea(), SplitRing.usedSize(layout.size())));
  }

  /**
   * The ring of a driver, as its device sees it.
   *
   * @throws IllegalArgumentException when a part of it is not in the memory that they share
   */
  public RawRing(DriverMemory memory, QueueLayout layout, ByteOrder order) {
    this(
        layout,
        order,
        slice(memory, layout.descriptorArea(), SplitRing.descSize(layout.size())),
        slice(memory, layout.driverArea(), SplitRing.availSize(layout.size())),
        slice(memory, layout.deviceArea(), SplitRing.usedSize(layout.size())));
  }

  private RawRing(
      QueueLayout layout,
      ByteOrder order,
      MemorySegment desc,
      MemorySegment avail,
      MemorySegment used) {
    this.layout = layout;
    this.swap = order == ByteOrder.BIG_ENDIAN;
    this.desc = desc;
    this.avail = avail;
    this.used = used;
    this.mask = layout.size() - 1;
  }

  /** What stands at a device address. */
  static MemorySegment slice(DriverMemory memory, long deviceAddress, long bytes) {
    for (DriverMemory.Region region : memory.regions()) {
      long offset = deviceAddress - region.deviceAddress();
      long size = region.segment().byteSize();
      if (Long.compareUnsigned(offset, size) < 0 && bytes <= size - offset) {
        return region.segment().asSlice(offset, bytes);
      }
    }
    throw new IllegalArgumentException(
        String.format("0x%x bytes at 0x%x are not in one region", bytes, deviceAddress));
  }

  private static VarHandle handle(ValueLayout layout) {
    return layout.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle().withInvokeExactBehavior();
  }

  /** Allocates the three parts, aligned as the specification demands, and zeroes them. */
  public static QueueLayout allocate(TestMemory memory, int size) {
    long desc = zeroed(memory, SplitRing.descSize(size), SplitRing.DESC_ALIGN);
    long avail = zeroed(memory, SplitRing.availSize(size), SplitRing.AVAIL_ALIGN);
    long used = zeroed(memory, SplitRing.usedSize(size), SplitRing.USED_ALIGN);
    return new QueueLayout(size, desc, avail, used, 0);
  }

  private static long zeroed(TestMemory memory, long bytes, long alignment) {
    long address = memory.allocate(bytes, alignment);
    memory.slice(address, bytes).fill((byte) 0);
    return address;
  }

  /** Where the parts are. */
  public QueueLayout layout() {
    return layout;
  }

  /** The descriptor table's bytes: to compare them before and after. */
  public MemorySegment descriptorTable() {
    return desc;
  }

  /** The available ring's bytes. */
  public MemorySegment availableRing() {
    return avail;
  }

  /** The used ring's bytes. */
  public MemorySegment usedRing() {
    return used;
  }

  /**
   * Writes a descriptor.
   *
   * @param index 0 to queue size - 1
   * @param len the low 32 bits are stored
   * @param flags the low 16 bits are stored
   * @param next the low 16 bits are stored
   */
  public void descriptor(int index, long addr, long len, int flags, int next) {
    descriptor(desc, (long) SplitRing.DESC_SIZE * index, addr, len, flags, next);
  }

  /**
   * Writes a descriptor of an indirect table, in the byte order of the ring.
   *
   * @param offset where in the table, in bytes, at any alignment
   */
  public void descriptor(
      MemorySegment table, long offset, long addr, long len, int flags, int next) {
    LONG_UNALIGNED.set(table, offset, swap ? Long.reverseBytes(addr) : addr);
    INT_UNALIGNED.set(table, offset + 8, order32((int) len));
    SHORT_UNALIGNED.set(table, offset + 12, order16(flags));
    SHORT_UNALIGNED.set(table, offset + 14, order16(next));
  }

  /**
   * A descriptor, as it stands in memory.
   *
   * @param addr a device address
   * @param len bytes, 0 to 2^32 - 1
   * @param flags 16 bits
   * @param next 16 bits
   */
  public record Descriptor(long addr, long len, int flags, int next) {}

  /** Reads a descriptor. */
  public Descriptor descriptor(int index) {
    return descriptor(desc, (long) SplitRing.DESC_SIZE * index);
  }

  /**
   * Reads a descriptor of an indirect table, in the byte order of the ring.
   *
   * @param offset where in the table, in bytes, at any alignment
   */
  public Descriptor descriptor(MemorySegment table, long offset) {
    long addr = (long) LONG_UNALIGNED.get(table, offset);
    int len = (int) INT_UNALIGNED.get(table, offset + 8);
    short flags = (short) SHORT_UNALIGNED.get(table, offset + 12);
    short next = (short) SHORT_UNALIGNED.get(table, offset + 14);
    return new Descriptor(
        swap ? Long.reverseBytes(addr) : addr,
        Integer.toUnsignedLong(order32(len)),
        order16(flags) & 0xffff,
        order16(next) & 0xffff);
  }

  /** Reads entry {@code index mod queue size} of the available ring. */
  public int availEntry(int index) {
    return load16(avail, SplitRing.RING + 2L * (index & mask));
  }

  /** Reads the flags of the available ring. */
  public int availFlags() {
    return load16(avail, SplitRing.FLAGS);
  }

  /** Reads used_event. */
  public int usedEvent() {
    return load16(avail, SplitRing.RING + 2L * layout.size());
  }

  /**
   * Writes entry {@code index mod queue size} of the used ring, which belongs to the device.
   *
   * @param id the low 32 bits are stored
   * @param len the low 32 bits are stored
   */
  public void usedEntry(int index, long id, long len) {
    long entry = SplitRing.RING + 8L * (index & mask);
    INT.set(used, entry, order32((int) id));
    INT.set(used, entry + 4, order32((int) len));
  }

  /** Writes entry {@code index mod queue size} of the available ring. */
  public void availEntry(int index, int head) {
    SHORT.set(avail, SplitRing.RING + 2L * (index & mask), order16(head));
  }

  /** Writes the available idx, after everything that was written before. */
  public void availIdx(int idx) {
    SHORT.setRelease(avail, (long) SplitRing.IDX, order16(idx));
  }

  /** Reads the available idx, before everything that is read afterwards. */
  public int availIdx() {
    return order16((short) SHORT.getAcquire(avail, (long) SplitRing.IDX)) & 0xffff;
  }

  /** Writes the flags of the available ring. */
  public void availFlags(int flags) {
    SHORT.set(avail, (long) SplitRing.FLAGS, order16(flags));
  }

  /** Writes used_event. */
  public void usedEvent(int index) {
    SHORT.set(avail, SplitRing.RING + 2L * layout.size(), order16(index));
  }

  /** Reads the flags of the used ring. */
  public int usedFlags() {
    return load16(used, SplitRing.FLAGS);
  }

  /** Writes the flags of the used ring, which belong to the device. */
  public void usedFlags(int flags) {
    SHORT.set(used, (long) SplitRing.FLAGS, order16(flags));
  }

  /** Reads the used idx, before everything that is read afterwards. */
  public int usedIdx() {
    return order16((short) SHORT.getAcquire(used, (long) SplitRing.IDX)) & 0xffff;
  }

  /** Writes the used idx, which belongs to the device. */
  public void usedIdx(int idx) {
    SHORT.setRelease(used, (long) SplitRing.IDX, order16(idx));
  }

  /** Reads the id of entry {@code index mod queue size} of the used ring, unsigned. */
  public long usedId(int index) {
    return load32(used, SplitRing.RING + 8L * (index & mask));
  }

  /** Reads the len of entry {@code index mod queue size} of the used ring, unsigned. */
  public long usedLen(int index) {
    return load32(used, SplitRing.RING + 8L * (index & mask) + 4);
  }

  /** Reads avail_event. */
  public int availEvent() {
    return load16(used, SplitRing.RING + 8L * layout.size());
  }

  /** Writes avail_event, which belongs to the device. */
  public void availEvent(int index) {
    SHORT.set(used, SplitRing.RING + 8L * layout.size(), order16(index));
  }

  private int load16(MemorySegment part, long offset) {
    return order16((short) SHORT.get(part, offset)) & 0xffff;
  }

  private long load32(MemorySegment part, long offset) {
    return Integer.toUnsignedLong(order32((int) INT.get(part, offset)));
  }

  private short order16(int value) {
    return swap ? Short.reverseBytes((short) value) : (short) value;
  }

  private int order32(int value) {
    return swap ? Integer.reverseBytes(value) : value;
  }
}
