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
 *
 * <p>The lock of the memory may be held while a device's owner is waited for. So it is never taken
 * within the pool's own lock, nor when memory comes back: that happens on an owner.
 */
final class BouncePool {
  private static final int LEAST = 12;
  private static final int MOST = 40;

  private final DriverMemory memory;
  private final long limit;
  private final List<Deque<MemorySegment>> idle = new ArrayList<>();

  /** What a device that broke may still write to. */
  private final List<MemorySegment> quarantine = new ArrayList<>();

  /** Came back beyond the limit; given up by the next thread that can wait. */
  private final List<MemorySegment> surplus = new ArrayList<>();

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
  MemorySegment take(long bytes) throws IOException {
    int power = Math.max(LEAST, 64 - Long.numberOfLeadingZeros(bytes - 1));
    if (power > MOST) {
      throw new IOException("no " + bytes + " bytes of shared memory");
    }
    synchronized (this) {
      if (closed) {
        throw new IOException("the driver was removed");
      }
      MemorySegment found = idle.get(power - LEAST).pollLast();
      if (found != null) {
        idleBytes -= found.byteSize();
        return found;
      }
    }
    trim();
    try {
      return memory.allocate(1L << power, 4096);
    } catch (IllegalStateException e) {
      // The transport was closed since we looked.
      throw new IOException("the device is gone", e);
    }
  }

  /** Takes memory back that the device is done with. Takes no lock that is held for long. */
  synchronized void give(MemorySegment segment) {
    if (closed || idleBytes + segment.byteSize() > limit) {
      surplus.add(segment);
    } else {
      idle.get(Long.numberOfTrailingZeros(segment.byteSize()) - LEAST).addLast(segment);
      idleBytes += segment.byteSize();
    }
  }

  /** Gives memory beyond the limit up. */
  void trim() {
    release(surplus);
  }

  private void release(List<MemorySegment> list) {
    List<MemorySegment> all;
    synchronized (this) {
      if (list.isEmpty()) {
        return;
      }
      all = List.copyOf(list);
      list.clear();
    }
    all.forEach(memory::release);
  }

  /** Keeps memory that the device may still use until {@link #deviceWasReset}. */
  synchronized void quarantine(MemorySegment segment) {
    quarantine.add(segment);
  }

  /** The device uses no memory of before any more. */
  void deviceWasReset() {
    release(quarantine);
    trim();
  }

  /** Frees everything idle, and hands nothing out any more. */
  void close() {
    synchronized (this) {
      closed = true;
      idle.forEach(
          list -> {
            surplus.addAll(list);
            list.clear();
          });
      idleBytes = 0;
    }
    trim();
  }
}
