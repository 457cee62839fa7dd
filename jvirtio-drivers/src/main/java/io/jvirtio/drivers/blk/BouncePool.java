// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.memory.DriverMemory;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * Shared memory for data whose own memory the device cannot see, and whatever else must not be
 * given back while the device may still write to it. Powers of two from 4 KiB. Thread-safe.
 */
final class BouncePool {
  private static final int LEAST = 12;
  private static final int MOST = 40;

  private final DriverMemory memory;
  private final long limit;
  private final List<Deque<MemorySegment>> idle = new ArrayList<>();

  /** What a device that broke may still write to. */
  private final List<MemorySegment> quarantine = new ArrayList<>();

  private long idleBytes;
  private boolean closed;

  /**
   * An empty pool.
   *
   * @param limit the most bytes to keep for later
   */
  BouncePool(DriverMemory memory, long limit) {
    this.memory = memory;
    this.limit = limit;
    for (int i = LEAST; i <= MOST; i++) {
      idle.add(new ArrayDeque<>());
    }
  }

  /**
   * Takes memory of at least this size. What it holds is undefined.
   *
   * @throws IOException when there is no more shared memory, or the pool is closed
   */
  synchronized MemorySegment take(long bytes) throws IOException {
    int power = Math.max(LEAST, 64 - Long.numberOfLeadingZeros(bytes - 1));
    if (power > MOST || closed) {
      throw new IOException("no " + bytes + " bytes of shared memory");
    }
    MemorySegment found = idle.get(power - LEAST).pollLast();
    if (found != null) {
      idleBytes -= found.byteSize();
      return found;
    }
    return memory.allocate(1L << power, 4096);
  }

  /** Takes memory back that the device is done with. */
  synchronized void give(MemorySegment segment) {
    if (closed || idleBytes + segment.byteSize() > limit) {
      memory.release(segment);
    } else {
      idle.get(Long.numberOfTrailingZeros(segment.byteSize()) - LEAST).addLast(segment);
      idleBytes += segment.byteSize();
    }
  }

  /** Keeps memory that the device may still use until {@link #deviceWasReset}. */
  synchronized void quarantine(MemorySegment segment) {
    quarantine.add(segment);
  }

  /** The device uses no memory of before any more. */
  synchronized void deviceWasReset() {
    quarantine.forEach(memory::release);
    quarantine.clear();
  }

  /** Frees everything idle, and from now on whatever comes back. */
  synchronized void close() {
    closed = true;
    idle.forEach(
        list -> {
          list.forEach(memory::release);
          list.clear();
        });
    idleBytes = 0;
  }
}
