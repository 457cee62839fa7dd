// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.time.Duration;
import java.util.Objects;

/**
 * Waits for several descriptors at once, and reads none of them: for the thread of a control plane
 * that has to notice a peer leaving while another thread talks to it.
 *
 * <p>Each descriptor has a slot, which is its bit in what {@link #await} returns. Level-triggered:
 * what is ready stays so for as long as its reason. Not thread-safe; another thread ends a wait by
 * a {@link Waker} in one of the slots. Holds no descriptor of its own, so there is nothing to
 * close.
 */
public final class FdWaiter {
  /** The most descriptors that one waiter takes. */
  public static final int MAX_FDS = 64;

  /** What to wait for. */
  public enum Interest {
    /** Something can be read, or accepted, or the peer has gone. */
    READABLE(Poll.IN),

    /**
     * The peer has closed the connection or its sending half, or the connection broke; data alone
     * does not count. What the peer sent before can still be read.
     */
    HANG_UP(Poll.RDHUP);

    private final int events;

    Interest(int events) {
      this.events = events;
    }
  }

  // struct pollfd for each slot, then a struct timespec.
  private static final int TIMESPEC = MAX_FDS * Poll.POLLFD_SIZE;

  private final MemorySegment memory = Arena.ofAuto().allocate(TIMESPEC + Poll.TIMESPEC_SIZE, 8);
  private final Fd[] fds = new Fd[MAX_FDS];
  private final int[] events = new int[MAX_FDS];
  private int slots;

  /** A waiter for nothing yet. */
  public FdWaiter() {}

  /**
   * Waits for a descriptor from now on. The same one may have several slots.
   *
   * @param fd stays the caller's, who calls {@link #remove} before closing it
   * @return its slot, 0 to 63: the lowest that is free
   * @throws IllegalStateException when all slots are taken
   */
  public int add(Fd fd, Interest interest) {
    Objects.requireNonNull(fd);
    int slot = 0;
    while (slot < slots && fds[slot] != null) {
      slot++;
    }
    if (slot == MAX_FDS) {
      throw new IllegalStateException("no more than " + MAX_FDS + " descriptors");
    }
    fds[slot] = fd;
    events[slot] = interest.events;
    slots = Math.max(slots, slot + 1);
    return slot;
  }

  /**
   * Lets a waker end the waits: its slot is ready from {@link Waker#wake} to {@link Waker#reset}.
   *
   * @return its slot
   * @throws IllegalStateException when all slots are taken
   */
  public int add(Waker waker) {
    return add(waker.fd(), Interest.READABLE);
  }

  /**
   * Ends {@link #add}. The others keep their slots.
   *
   * @throws IllegalArgumentException when nothing is in that slot
   */
  public void remove(int slot) {
    if (slot < 0 || slot >= slots || fds[slot] == null) {
      throw new IllegalArgumentException("slot " + slot);
    }
    fds[slot] = null;
  }

  /**
   * Waits until a descriptor is ready. Allocates nothing.
   *
   * @param timeout the longest time to wait; null for no limit
   * @return a bit for each slot that is ready, slot 0 the lowest; 0 when the time is over
   * @throws LinuxException when one of the descriptors is closed (EBADF)
   */
  public long await(Duration timeout) throws LinuxException {
    long deadline = Sockets.deadline(timeout);
    long base = memory.address();
    try {
      while (true) {
        prepare(base);
        long timespec = Poll.timeout(base + TIMESPEC, deadline);
        long result = Libc.call(SystemCall.PPOLL, base, slots, timespec, 0, 0, 0);
        if (result != -Errno.EINTR) {
          return LinuxException.check("poll", result) == 0 ? 0 : ready(base);
        }
      }
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  private void prepare(long base) throws LinuxException {
    for (int slot = 0; slot < slots; slot++) {
      Fd fd = fds[slot];
      int number = fd == null ? -1 : fd.value();
      if (fd != null && number < 0) {
        throw new LinuxException("poll", Errno.EBADF); // poll itself passes over it
      }
      Poll.put(base + slot * Poll.POLLFD_SIZE, number, events[slot]);
    }
  }

  private long ready(long base) throws LinuxException {
    long ready = 0;
    for (int slot = 0; slot < slots; slot++) {
      if (Poll.result(base + slot * Poll.POLLFD_SIZE) != 0) {
        ready |= 1L << slot;
      }
    }
    return ready;
  }
}
