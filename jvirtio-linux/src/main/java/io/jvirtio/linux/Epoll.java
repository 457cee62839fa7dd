// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;

/**
 * An epoll instance that only wakes: which descriptor became ready does not matter, since the loop
 * asks all its sources anyway. Edge-triggered, so nobody needs to read the descriptors.
 *
 * <p>{@link #await} by one thread; the rest by any.
 */
final class Epoll implements AutoCloseable {
  private static final int EPOLL_CLOEXEC = 0x80000;
  private static final int CTL_ADD = 1;
  private static final int CTL_DEL = 2;
  private static final int EPOLLIN = 1;
  private static final int EPOLLET = 1 << 31;

  // struct epoll_event is packed on x86-64 only: 12 bytes there, 16 elsewhere.
  private static final int EVENT_SIZE = SystemCall.X86_64 ? 12 : 16;
  private static final int DATA = SystemCall.X86_64 ? 4 : 8;
  private static final int MAX_EVENTS = 64;
  private static final long NANOS_PER_MILLI = 1_000_000;

  private final Fd fd;
  private final MemorySegment events = Arena.ofAuto().allocate(EVENT_SIZE * MAX_EVENTS, 8);

  Epoll() throws LinuxException {
    long result = Libc.call(SystemCall.EPOLL_CREATE1, EPOLL_CLOEXEC, 0, 0);
    fd = new Fd((int) LinuxException.check("epoll_create", result));
  }

  /**
   * Lets each edge of readability end a wait.
   *
   * @throws UncheckedIOException when the file cannot be waited for (EPERM, as a regular file), is
   *     not open, or is there already
   */
  void add(int target) {
    control(CTL_ADD, target);
  }

  /** Ends {@link #add}. */
  void remove(int target) {
    control(CTL_DEL, target);
  }

  private void control(int operation, int target) {
    MemorySegment event = Libc.scratch();
    RawMemory.putInt(event.address(), EPOLLIN | EPOLLET);
    RawMemory.putLongUnaligned(event.address() + DATA, target);
    long result =
        Libc.retry(SystemCall.EPOLL_CTL, fd.value(), operation, target, event.address(), 0, 0);
    if (result < 0) {
      throw new UncheckedIOException(
          new LinuxException("epoll_ctl", "descriptor " + target, (int) -result, ""));
    }
  }

  /**
   * Waits for an edge. A signal ends the wait as well: work that the kernel does on behalf of this
   * thread, such as completions of io_uring, may arrive so.
   *
   * @param deadline in terms of {@link System#nanoTime}, rounded up to whole milliseconds from now,
   *     or {@link Poll#FOREVER}; a wait of weeks may end early
   * @return false when the time was over
   */
  boolean await(long deadline) {
    long timeout = deadline == Poll.FOREVER ? -1 : millis(deadline - System.nanoTime());
    long result =
        Libc.call(SystemCall.EPOLL_PWAIT, fd.value(), events.address(), MAX_EVENTS, timeout, 0, 0);
    Reference.reachabilityFence(this);
    if (result < 0 && result != -Errno.EINTR) {
      throw new IllegalStateException("epoll_wait: " + Errno.text((int) -result));
    }
    return result != 0;
  }

  // Up, so that the rest below a millisecond is not spent with waits of no time at all.
  private static long millis(long nanos) {
    long rounded = nanos / NANOS_PER_MILLI + (nanos % NANOS_PER_MILLI > 0 ? 1 : 0);
    return Math.clamp(rounded, 0, Integer.MAX_VALUE);
  }

  @Override
  public void close() {
    fd.close();
  }
}
