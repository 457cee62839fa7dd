// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import java.util.concurrent.atomic.AtomicReference;

/**
 * Where threads leave requests for the owner of a queue. Adding takes no lock and allocates
 * nothing: requests are linked by themselves, the newest first, and the owner takes all of them at
 * once.
 */
final class Inbox {
  /** Stands where the newest request would: nothing is taken any more. */
  private static final BlkIo CLOSED = new BlkIo(null, null, true);

  static final int REFUSED = 0;

  /** It was empty, so the owner must be woken. */
  static final int FIRST = 1;

  static final int BEHIND = 2;

  private final AtomicReference<BlkIo> newest = new AtomicReference<>();

  /**
   * Leaves a request. Any thread.
   *
   * @return {@link #REFUSED} when closed, {@link #FIRST} or {@link #BEHIND}
   */
  int add(BlkIo io) {
    while (true) {
      BlkIo head = newest.get();
      if (head == CLOSED) {
        return REFUSED;
      }
      io.next = head;
      if (newest.compareAndSet(head, io)) {
        return head == null ? FIRST : BEHIND;
      }
    }
  }

  /** Whether there is nothing to take. */
  boolean isEmpty() {
    BlkIo head = newest.get();
    return head == null || head == CLOSED;
  }

  /** Whether requests are refused. */
  boolean isClosed() {
    return newest.get() == CLOSED;
  }

  /** Moves all requests to the end of a list, the oldest first. Owner only. */
  void drainTo(RequestList list) {
    if (!isEmpty()) {
      append(newest.getAndSet(null), list);
    }
  }

  /** As {@link #drainTo}, and refuses requests from now on. */
  void closeTo(RequestList list) {
    append(newest.getAndSet(CLOSED), list);
  }

  /** Takes requests again. */
  void open() {
    newest.compareAndSet(CLOSED, null);
  }

  private static void append(BlkIo head, RequestList list) {
    if (head == CLOSED) {
      return;
    }
    BlkIo oldest = null;
    while (head != null) {
      BlkIo next = head.next;
      head.next = oldest;
      oldest = head;
      head = next;
    }
    while (oldest != null) {
      BlkIo next = oldest.next;
      list.add(oldest);
      oldest = next;
    }
  }
}
