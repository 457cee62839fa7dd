// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * An eventfd: a counter in the kernel that one side adds to and the other waits for. A kick or a
 * call of vhost-user, a line of a MSI-X table.
 *
 * <p>Thread-safe, and never blocks.
 */
public final class EventFd implements AutoCloseable {
  private static final int EFD_CLOEXEC = 0x80000;
  private static final int EFD_NONBLOCK = 0x800;
  private static final int RWF_NOWAIT = 8;

  // What every signal writes. Never written again, so all threads share it.
  private static final MemorySegment ONE = one();

  private final Fd fd;

  private EventFd(Fd fd) {
    this.fd = fd;
  }

  private static MemorySegment one() {
    MemorySegment segment = Arena.global().allocate(8, 8);
    RawMemory.putLong(segment.address(), 1);
    return segment;
  }

  /**
   * A new eventfd with the count 0.
   *
   * @throws LinuxException when the process has no more room for descriptors
   */
  public static EventFd create() throws LinuxException {
    long fd = Libc.call(SystemCall.EVENTFD2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0);
    return new EventFd(new Fd((int) LinuxException.check("eventfd", fd)));
  }

  /**
   * Takes over a descriptor that a peer sent as an eventfd and makes it non-blocking: it could be
   * anything, and a signal must not block the thread that sends it.
   *
   * @param fd closed by {@link #close} from now on, and at once when this throws
   * @throws LinuxException when it is not open
   */
  public static EventFd of(Fd fd) throws LinuxException {
    try {
      fd.setNonBlocking();
    } catch (LinuxException e) {
      fd.close();
      throw e;
    }
    return new EventFd(fd);
  }

  /**
   * Adds one to the counter, which wakes whoever waits. A counter that is full counts as signalled.
   *
   * @throws LinuxException when closed, or not an eventfd and without a reader
   */
  public void signal() throws LinuxException {
    long result = Libc.retry(SystemCall.WRITE, fd.value(), ONE.address(), 8);
    if (result < 0 && result != -Errno.EAGAIN) {
      throw new LinuxException("write", "eventfd", (int) -result, "");
    }
  }

  /**
   * Sets the counter to 0.
   *
   * @return what it was; 0 when nobody had signalled
   * @throws LinuxException when closed
   */
  public long drain() throws LinuxException {
    // O_NONBLOCK belongs to the open file, which the peer shares and could clear again: only
    // RWF_NOWAIT is sure not to block.
    long value = Libc.scratch().address();
    long iovec = value + 8;
    RawMemory.putLong(iovec, value);
    RawMemory.putLong(iovec + 8, 8);
    long result = Libc.retry(SystemCall.PREADV2, fd.value(), iovec, 1, -1, -1, RWF_NOWAIT);
    if (result == -Errno.EOPNOTSUPP) {
      result = Libc.retry(SystemCall.READ, fd.value(), value, 8);
    }
    if (result == -Errno.EAGAIN) {
      return 0;
    }
    LinuxException.check("read", result);
    return RawMemory.getLong(value);
  }

  /** The descriptor, which stays this object's. */
  public Fd fd() {
    return fd;
  }

  /** Closes the descriptor. Idempotent. */
  @Override
  public void close() {
    fd.close();
  }
}
