// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * An open file descriptor and the duty to close it.
 *
 * <p>Thread-safe. Closing while another thread is inside a call on the same descriptor is as
 * dangerous as everywhere on Unix: let that thread go first.
 */
public final class Fd implements AutoCloseable {
  private static final Logger LOG = System.getLogger(Fd.class.getName());
  private static final VarHandle VALUE;

  static {
    try {
      VALUE = MethodHandles.lookup().findVarHandle(Fd.class, "value", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private volatile int value;

  /**
   * Takes over a descriptor.
   *
   * @param value an open descriptor that nobody else closes
   * @throws IllegalArgumentException when negative
   */
  public Fd(int value) {
    if (value < 0) {
      throw new IllegalArgumentException("file descriptor " + value);
    }
    this.value = value;
  }

  /** The number; -1 once closed, on which every call fails with EBADF and harms nobody. */
  public int value() {
    return value;
  }

  /** Whether {@link #close} has not been called yet. */
  public boolean isOpen() {
    return value >= 0;
  }

  /**
   * A second descriptor for the same open file, which is closed on its own.
   *
   * @throws LinuxException when closed (EBADF) or when the process has no more room (EMFILE)
   */
  public Fd duplicate() throws LinuxException {
    int fdupfd = 1030; // F_DUPFD_CLOEXEC
    return new Fd(
        (int) LinuxException.check("fcntl", Libc.call(SystemCall.FCNTL, value, fdupfd, 0)));
  }

  /**
   * Sets O_NONBLOCK of the open file, which all its descriptors in all processes share.
   *
   * @throws LinuxException when closed
   */
  public void setNonBlocking() throws LinuxException {
    int getFlags = 3;
    int setFlags = 4;
    long flags = LinuxException.check("fcntl", Libc.call(SystemCall.FCNTL, value, getFlags, 0));
    if ((flags & OpenFlag.O_NONBLOCK) == 0) {
      LinuxException.check(
          "fcntl", Libc.call(SystemCall.FCNTL, value, setFlags, flags | OpenFlag.O_NONBLOCK));
    }
  }

  /**
   * Closes the descriptor. Later calls do nothing.
   *
   * @throws IllegalStateException when somebody else has closed it already, which is a bug: it may
   *     have been another's by now
   */
  @Override
  public void close() {
    int fd = (int) VALUE.getAndSet(this, -1);
    if (fd < 0) {
      return;
    }
    // Not repeated on EINTR: Linux has freed the descriptor then.
    long result = Libc.call(SystemCall.CLOSE, fd, 0, 0);
    if (result == -Errno.EBADF) {
      throw new IllegalStateException("file descriptor " + fd + " was closed by somebody else");
    }
    if (result < 0 && result != -Errno.EINTR) {
      LOG.log(Level.WARNING, "close({0}): {1}", fd, Errno.text((int) -result));
    }
  }

  @Override
  public String toString() {
    int fd = value;
    return fd < 0 ? "closed descriptor" : "descriptor " + fd;
  }
}
