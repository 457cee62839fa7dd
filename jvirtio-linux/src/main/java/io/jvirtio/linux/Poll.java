// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;

/** Waits for one descriptor, a waker and a time, whichever comes first. Any thread. */
final class Poll {
  /** Data can be read, or a connection accepted, or the peer has gone. */
  static final int IN = 1;

  /** There is room to write. */
  static final int OUT = 4;

  /** The peer has closed, or will send no more (POLLRDHUP). Full hang-up is always reported. */
  static final int RDHUP = 0x2000;

  /** For waits without an end. */
  static final long FOREVER = Long.MAX_VALUE;

  /** How a wait ended. */
  enum Outcome {
    READY,
    WOKEN,
    TIMED_OUT
  }

  /** Bytes of a struct pollfd. */
  static final int POLLFD_SIZE = 8;

  /** Bytes of a struct timespec. */
  static final int TIMESPEC_SIZE = 16;

  // Two struct pollfd, then a struct timespec, in the scratch memory of the thread.
  private static final int REVENTS = 6;
  private static final int SECOND = POLLFD_SIZE;
  private static final int TIMESPEC = 16;
  private static final int POLLNVAL = 0x20;
  private static final long NANOS = 1_000_000_000L;

  private Poll() {}

  /**
   * Waits.
   *
   * @param waker may be null
   * @param deadline in terms of {@link System#nanoTime}, or {@link #FOREVER}
   * @throws LinuxException when the descriptor is closed (EBADF), or the kernel lacks memory
   */
  static Outcome await(int fd, int events, Waker waker, long deadline) throws LinuxException {
    long fds = Libc.scratch().address();
    int count = waker == null ? 1 : 2;
    if (fd < 0) {
      throw new LinuxException("poll", Errno.EBADF); // poll itself ignores it
    }
    while (true) {
      put(fds, fd, events);
      if (waker != null) {
        put(fds + SECOND, waker.value(), IN);
      }
      long timeout = timeout(fds + TIMESPEC, deadline);
      long result = Libc.call(SystemCall.PPOLL, fds, count, timeout, 0, 0, 0);
      if (result == -Errno.EINTR) {
        continue;
      }
      if (LinuxException.check("poll", result) == 0) {
        return Outcome.TIMED_OUT;
      }
      if (waker != null && RawMemory.getShort(fds + SECOND + REVENTS) != 0) {
        return Outcome.WOKEN;
      }
      result(fds);
      return Outcome.READY;
    }
  }

  /** Fills in a struct pollfd; the kernel passes over a negative descriptor. */
  static void put(long pollfd, int fd, int events) {
    RawMemory.putInt(pollfd, fd);
    RawMemory.putShort(pollfd + 4, events);
    RawMemory.putShort(pollfd + REVENTS, 0);
  }

  /**
   * What a wait found of one struct pollfd; 0 for nothing.
   *
   * @throws LinuxException when the descriptor is not open (EBADF)
   */
  static int result(long pollfd) throws LinuxException {
    int events = RawMemory.getShort(pollfd + REVENTS);
    if ((events & POLLNVAL) != 0) {
      throw new LinuxException("poll", Errno.EBADF);
    }
    return events;
  }

  /** Fills in the time left as a struct timespec and returns its address; 0 for no limit. */
  static long timeout(long timespec, long deadline) {
    if (deadline == FOREVER) {
      return 0;
    }
    long left = Math.max(0, deadline - System.nanoTime());
    RawMemory.putLong(timespec, left / NANOS);
    RawMemory.putLong(timespec + 8, left % NANOS);
    return timespec;
  }
}
