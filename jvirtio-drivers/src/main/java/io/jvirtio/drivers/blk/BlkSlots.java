// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * What the driver itself adds to requests: one slot of shared memory for each that can be in
 * flight, and which of them are free. Device addresses are known from the start. Owner only.
 *
 * <pre>
 *   0    type (le32), reserved (le32), sector (le64): device-readable
 *   16   status: device-writable
 *   32   struct virtio_blk_discard_write_zeroes for each range: device-readable
 * </pre>
 */
final class BlkSlots {
  private static final int HEADER = VirtioBlk.REQ_HEADER.size();
  private static final int STATUS_AT = 16;
  private static final int RANGES_AT = 32;
  private static final int RANGE = VirtioBlk.DISCARD_WRITE_ZEROES.size();

  /** What no device answers: still there when it did not write a status. */
  private static final byte NO_STATUS = (byte) 0xff;

  private static final ValueLayout.OfInt LE32 =
      ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LE64 =
      ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final MemorySegment slab;
  private final long device;
  private final int stride;
  private final boolean swap;

  /** The requests in flight, by slot. */
  private final BlkIo[] requests;

  /** The numbers of free slots; the first {@link #freeCount} count. */
  private final int[] free;

  private int freeCount;

  /**
   * Slots, all free.
   *
   * @param swap whether the session is a legacy one of a big-endian driver
   */
  BlkSlots(DriverMemory memory, int count, int ranges, boolean swap) throws IOException {
    this.stride = (RANGES_AT + ranges * RANGE + 63) & -64;
    this.slab = memory.allocate((long) count * stride, 64);
    this.device = memory.deviceAddress(slab);
    this.swap = swap;
    this.requests = new BlkIo[count];
    this.free = new int[count];
    clear();
  }

  /** How many there are. */
  int count() {
    return requests.length;
  }

  /** How many are taken. */
  int taken() {
    return requests.length - freeCount;
  }

  /** The request in a slot, or null. */
  BlkIo get(int slot) {
    return requests[slot];
  }

  /** Takes a slot for a request; false when there is none. */
  boolean take(BlkIo io) {
    if (freeCount == 0) {
      return false;
    }
    io.slot = free[--freeCount];
    requests[io.slot] = io;
    return true;
  }

  /** Gives the slot of a request back; the device has used it, or never seen it. */
  void give(BlkIo io) {
    requests[io.slot] = null;
    free[freeCount++] = io.slot;
  }

  /** Moves all requests to a list, and makes all slots free: the device has forgotten them. */
  void takeAll(RequestList list) {
    for (BlkIo io : requests) {
      if (io != null) {
        list.add(io);
      }
    }
    clear();
  }

  private void clear() {
    freeCount = free.length;
    for (int i = 0; i < free.length; i++) {
      // The lowest first: few requests at a time stay in few cache lines.
      free[i] = free.length - 1 - i;
      requests[i] = null;
    }
  }

  /** All memory of the slots. */
  MemorySegment memory() {
    return slab;
  }

  /**
   * Describes a request to the device (struct virtio_blk_req).
   *
   * @param maxSegmentBytes what no element is longer than
   */
  void describe(BlkIo io, DriverBuffer buffer, long maxSegmentBytes) {
    long at = (long) io.slot * stride;
    BlkOperation operation = io.operation();
    // Type and reserved, in one store.
    putLong(at, Integer.toUnsignedLong(operation.type()), true);
    putLong(at + 8, io.offset() / VirtioBlk.SECTOR_SIZE, false);
    slab.set(ValueLayout.JAVA_BYTE, at + STATUS_AT, NO_STATUS);
    buffer.clear().readable(device + at, HEADER);
    if (operation.hasRanges()) {
      putRanges(io, at + RANGES_AT);
      buffer.readable(device + at + RANGES_AT, (long) io.rangeCount() * RANGE);
    } else {
      addData(io, buffer, operation.isInput(), maxSegmentBytes);
    }
    buffer.writable(device + at + STATUS_AT, 1);
  }

  private static void addData(BlkIo io, DriverBuffer buffer, boolean input, long maxSegmentBytes) {
    int count = io.segmentCount();
    for (int i = 0; i < count; i++) {
      long address = io.deviceAddress(i);
      long length = io.length(i);
      while (length > 0) {
        long step = Math.min(length, maxSegmentBytes);
        if (input) {
          buffer.writable(address, step);
        } else {
          buffer.readable(address, step);
        }
        address += step;
        length -= step;
      }
    }
  }

  private void putRanges(BlkIo io, long at) {
    int flags =
        io.operation() == BlkOperation.WRITE_ZEROES && io.unmap()
            ? VirtioBlk.WRITE_ZEROES_FLAG_UNMAP
            : 0;
    for (int i = 0; i < io.rangeCount(); i++) {
      long entry = at + (long) i * RANGE;
      putLong(entry, io.rangeSector(i), false);
      putInt(entry + 8, (int) io.rangeSectors(i));
      putInt(entry + 12, flags);
    }
  }

  /** The status that the device has written, 0 to 255. */
  int status(BlkIo io) {
    return slab.get(ValueLayout.JAVA_BYTE, (long) io.slot * stride + STATUS_AT) & 0xff;
  }

  private void putLong(long at, long value, boolean twoInts) {
    long bytes = value;
    if (swap) {
      bytes =
          twoInts
              ? Integer.toUnsignedLong(Integer.reverseBytes((int) value))
              : Long.reverseBytes(value);
    }
    slab.set(LE64, at, bytes);
  }

  private void putInt(long at, int value) {
    slab.set(LE32, at, swap ? Integer.reverseBytes(value) : value);
  }
}
