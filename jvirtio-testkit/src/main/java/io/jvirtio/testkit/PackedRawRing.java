// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.PackedRing;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * The three parts of a packed virtqueue as naked memory (virtio 1.4, Packed Virtqueues): every
 * field can be read and written by position, whatever the rules say. Nothing is checked, nothing is
 * remembered, nothing is allocated.
 *
 * <p>Stores of flags are releases and loads of them are acquires; all the rest is plain. Any
 * thread.
 */
public final class PackedRawRing {
  private static final VarHandle SHORT = handle(ValueLayout.JAVA_SHORT);
  private static final VarHandle INT = handle(ValueLayout.JAVA_INT);
  private static final VarHandle LONG = handle(ValueLayout.JAVA_LONG);
  private static final VarHandle SHORT_UNALIGNED = handle(ValueLayout.JAVA_SHORT_UNALIGNED);
  private static final VarHandle INT_UNALIGNED = handle(ValueLayout.JAVA_INT_UNALIGNED);
  private static final VarHandle LONG_UNALIGNED = handle(ValueLayout.JAVA_LONG_UNALIGNED);

  /**
   * A descriptor, as it stands in memory.
   *
   * @param addr a device address
   * @param len bytes, 0 to 2^32 - 1
   * @param id 16 bits
   * @param flags 16 bits
   */
  public record Descriptor(long addr, long len, int id, int flags) {}

  private final QueueLayout layout;
  private final MemorySegment desc;
  private final MemorySegment driverEvent;
  private final MemorySegment deviceEvent;

  /** The ring at this place, every part inside one region and aligned. */
  public PackedRawRing(TestMemory memory, QueueLayout layout) {
    this.layout = layout;
    this.desc = memory.slice(layout.descriptorArea(), PackedRing.descSize(layout.size()));
    this.driverEvent = memory.slice(layout.driverArea(), PackedRing.EVENT_SIZE);
    this.deviceEvent = memory.slice(layout.deviceArea(), PackedRing.EVENT_SIZE);
  }

  /**
   * The ring of a driver, as its device sees it.
   *
   * @throws IllegalArgumentException when a part of it is not in the memory that they share
   */
  public PackedRawRing(DriverMemory memory, QueueLayout layout) {
    this.layout = layout;
    this.desc = RawRing.slice(memory, layout.descriptorArea(), PackedRing.descSize(layout.size()));
    this.driverEvent = RawRing.slice(memory, layout.driverArea(), PackedRing.EVENT_SIZE);
    this.deviceEvent = RawRing.slice(memory, layout.deviceArea(), PackedRing.EVENT_SIZE);
  }

  private static VarHandle handle(ValueLayout layout) {
    return layout.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle().withInvokeExactBehavior();
  }

  /** Allocates the three parts, aligned as the specification demands, and zeroes them. */
  public static QueueLayout allocate(TestMemory memory, int size) {
    long ring = zeroed(memory, PackedRing.descSize(size), PackedRing.DESC_ALIGN);
    long driver = zeroed(memory, PackedRing.EVENT_SIZE, PackedRing.EVENT_ALIGN);
    long device = zeroed(memory, PackedRing.EVENT_SIZE, PackedRing.EVENT_ALIGN);
    return new QueueLayout(size, ring, driver, device, QueueLayout.PACKED_START);
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

  /** The descriptor ring's bytes: to compare them before and after. */
  public MemorySegment descriptorRing() {
    return desc;
  }

  private static long slot(int position) {
    return (long) PackedRing.DESC_SIZE * position;
  }

  /**
   * Writes a descriptor, its flags last.
   *
   * @param position 0 to queue size - 1
   * @param len the low 32 bits are stored
   * @param id the low 16 bits are stored
   * @param flags the low 16 bits are stored, AVAIL and USED among them
   */
  public void descriptor(int position, long addr, long len, int id, int flags) {
    body(position, addr, len, id);
    flags(position, flags);
  }

  /** Writes all of a descriptor but its flags. */
  public void body(int position, long addr, long len, int id) {
    LONG.set(desc, slot(position), addr);
    INT.set(desc, slot(position) + PackedRing.LEN, (int) len);
    SHORT.set(desc, slot(position) + PackedRing.ID, (short) id);
  }

  /** Writes len and id, as a device does. */
  public void used(int position, long len, int id) {
    INT.set(desc, slot(position) + PackedRing.LEN, (int) len);
    SHORT.set(desc, slot(position) + PackedRing.ID, (short) id);
  }

  /** Writes the flags of a descriptor, after everything that was written before. */
  public void flags(int position, int flags) {
    SHORT.setRelease(desc, slot(position) + PackedRing.FLAGS, (short) flags);
  }

  /** Reads the flags of a descriptor, before everything that is read afterwards. */
  public int flags(int position) {
    return (short) SHORT.getAcquire(desc, slot(position) + PackedRing.FLAGS) & 0xffff;
  }

  /** Reads a descriptor, its flags first. */
  public Descriptor descriptor(int position) {
    int flags = flags(position);
    return new Descriptor(
        (long) LONG.get(desc, slot(position)), len(position), id(position), flags);
  }

  /** Reads len of a descriptor, unsigned. */
  public long len(int position) {
    return Integer.toUnsignedLong((int) INT.get(desc, slot(position) + PackedRing.LEN));
  }

  /** Reads id of a descriptor. */
  public int id(int position) {
    return (short) SHORT.get(desc, slot(position) + PackedRing.ID) & 0xffff;
  }

  /**
   * Writes a descriptor of an indirect table.
   *
   * @param offset where in the table, in bytes, at any alignment
   */
  public void tableEntry(MemorySegment table, long offset, long addr, long len, int id, int flags) {
    LONG_UNALIGNED.set(table, offset, addr);
    INT_UNALIGNED.set(table, offset + PackedRing.LEN, (int) len);
    SHORT_UNALIGNED.set(table, offset + PackedRing.ID, (short) id);
    SHORT_UNALIGNED.set(table, offset + PackedRing.FLAGS, (short) flags);
  }

  /**
   * Reads a descriptor of an indirect table.
   *
   * @param offset where in the table, in bytes, at any alignment
   */
  public Descriptor tableEntry(MemorySegment table, long offset) {
    return new Descriptor(
        (long) LONG_UNALIGNED.get(table, offset),
        Integer.toUnsignedLong((int) INT_UNALIGNED.get(table, offset + PackedRing.LEN)),
        (short) SHORT_UNALIGNED.get(table, offset + PackedRing.ID) & 0xffff,
        (short) SHORT_UNALIGNED.get(table, offset + PackedRing.FLAGS) & 0xffff);
  }

  /** The driver's event suppression structure: desc in the low, flags in the high 16 bits. */
  public int driverEvent() {
    return (int) INT.get(driverEvent, 0L);
  }

  /** Writes the driver's event suppression structure, in the form of {@link #driverEvent()}. */
  public void driverEvent(int event) {
    INT.set(driverEvent, 0L, event);
  }

  /** The device's event suppression structure: desc in the low, flags in the high 16 bits. */
  public int deviceEvent() {
    return (int) INT.get(deviceEvent, 0L);
  }

  /** Writes the device's event suppression structure, in the form of {@link #deviceEvent()}. */
  public void deviceEvent(int event) {
    INT.set(deviceEvent, 0L, event);
  }

  /**
   * An event suppression structure as one number.
   *
   * @param offset 0 to 32767
   * @param wrap the wrap counter at which it is meant
   * @param flags one of RING_EVENT_FLAGS_ENABLE, _DISABLE and _DESC, or the reserved 3
   */
  public static int event(int offset, boolean wrap, int flags) {
    return flags << 16 | offset | (wrap ? PackedRing.WRAP : 0);
  }
}
