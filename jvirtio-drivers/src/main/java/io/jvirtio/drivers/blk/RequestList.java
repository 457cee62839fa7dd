// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/** Requests in their order, linked by themselves. Not thread-safe. */
final class RequestList {
  private BlkIo first;
  private BlkIo last;

  boolean isEmpty() {
    return first == null;
  }

  void add(BlkIo io) {
    io.next = null;
    if (first == null) {
      first = io;
    } else {
      last.next = io;
    }
    last = io;
  }

  void addFirst(BlkIo io) {
    io.next = first;
    if (first == null) {
      last = io;
    }
    first = io;
  }

  /** Takes the first; there must be one. */
  BlkIo remove() {
    BlkIo io = first;
    first = io.next;
    io.next = null;
    return io;
  }

  /** Moves all of them to the end of another list. */
  void moveTo(RequestList other) {
    while (!isEmpty()) {
      other.add(remove());
    }
  }
}
