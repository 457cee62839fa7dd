// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import java.lang.foreign.MemorySegment;

/** What of a scripted driver depends on the format of its ring. */
abstract sealed class DriverHalf permits SplitDriverHalf, PackedDriverHalf {
  /** A used element: the id of the buffer and what the device says it has written. */
  record Entry(long id, long length) {}

  /** As many descriptors of the queue, for one buffer. */
  abstract int[] takeFree(int count);

  /**
   * Writes a descriptor of the queue.
   *
   * @param slots all descriptors of the buffer
   * @param at which of them
   * @param id the buffer's
   */
  abstract void descriptor(int[] slots, int at, int id, long addr, long len, int flags);

  /** Writes descriptor {@code at} of an indirect table. */
  abstract void tableEntry(MemorySegment table, int at, long addr, long len, int flags);

  /** The id of a buffer that takes these descriptors. */
  abstract int idOf(int[] slots);

  /** Adds a buffer whose descriptors are written. */
  abstract void add(TestChain chain);

  abstract boolean publish();

  /** The next used element, or null. */
  abstract Entry next();

  /** Goes on behind used elements for so many buffers, with so many descriptors. */
  abstract void advance(int buffers, int descriptors);

  abstract void free(TestChain chain);

  abstract int freeDescriptors();

  abstract boolean enableNotifications();

  abstract void disableNotifications();
}
