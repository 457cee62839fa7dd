// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.DriverMemory;
import java.lang.foreign.MemorySegment;

/**
 * One buffer as a driver describes it: device-readable elements, then device-writable ones (virtio
 * 1.4, Virtqueues). Reusable: a driver keeps one per request, or one per queue, and allocates
 * nothing. Not thread-safe.
 */
public final class DriverBuffer {
  /** A descriptor chain must not be longer (The Virtqueue Descriptor Table). */
  private static final long MAX_BYTES = 1L << 32;

  private final DriverMemory memory;
  final long[] addresses;
  final int[] lengths;
  private int count;
  private int readable;
  private long bytes;
  private long writableBytes;

  /**
   * An empty buffer.
   *
   * @param memory in which all its elements lie
   * @param capacity the most elements, positive
   */
  public DriverBuffer(DriverMemory memory, int capacity) {
    if (capacity <= 0) {
      throw new IllegalArgumentException("capacity " + capacity);
    }
    this.memory = memory;
    this.addresses = new long[capacity];
    this.lengths = new int[capacity];
  }

  /** Empties it. */
  public DriverBuffer clear() {
    count = 0;
    readable = 0;
    bytes = 0;
    writableBytes = 0;
    return this;
  }

  /**
   * Adds an element that the device may read.
   *
   * @throws IllegalArgumentException when the segment is empty, 4 GiB or longer, or not shared with
   *     the device, or when the buffer would be longer than 4 GiB
   * @throws IllegalStateException when the buffer is full or has a writable element already
   */
  public DriverBuffer readable(MemorySegment segment) {
    return readable(memory.deviceAddress(segment), segment.byteSize());
  }

  /** As {@link #readable(MemorySegment)}, for a device address that the caller has translated. */
  public DriverBuffer readable(long deviceAddress, long bytes) {
    if (readable != count) {
      throw new IllegalStateException("a readable element after a writable one");
    }
    add(deviceAddress, bytes);
    readable++;
    return this;
  }

  /**
   * Adds an element that the device may write.
   *
   * @throws IllegalArgumentException when the segment is empty, 4 GiB or longer, or not shared with
   *     the device, or when the buffer would be longer than 4 GiB
   * @throws IllegalStateException when the buffer is full
   */
  public DriverBuffer writable(MemorySegment segment) {
    return writable(memory.deviceAddress(segment), segment.byteSize());
  }

  /** As {@link #writable(MemorySegment)}, for a device address that the caller has translated. */
  public DriverBuffer writable(long deviceAddress, long bytes) {
    add(deviceAddress, bytes);
    writableBytes += bytes;
    return this;
  }

  private void add(long deviceAddress, long length) {
    if (length <= 0 || length > 0xffff_ffffL || bytes + length > MAX_BYTES) {
      throw new IllegalArgumentException(
          "an element of " + length + " bytes after " + bytes + " bytes");
    }
    if (count == addresses.length) {
      throw new IllegalStateException("more than " + count + " elements");
    }
    addresses[count] = deviceAddress;
    lengths[count] = (int) length;
    count++;
    bytes += length;
  }

  /** How many elements there are. */
  public int count() {
    return count;
  }

  /** How many of them, the first ones, the device may read. */
  public int readableCount() {
    return readable;
  }

  /** Bytes of all device-writable elements together. */
  public long writableBytes() {
    return writableBytes;
  }
}
