// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.io.IOException;

/**
 * A system call failed. The message says which, on what, and why: {@code bind(/run/disk.sock):
 * EADDRINUSE, Address already in use}.
 */
public final class LinuxException extends IOException {
  private static final long serialVersionUID = 1L;

  /** The name of the call. */
  private final String call;

  /** The error number. */
  private final int errno;

  /**
   * A failure.
   *
   * @param call the name of the system call
   * @param errno the error number, positive
   */
  public LinuxException(String call, int errno) {
    this(call, "", errno, "");
  }

  /**
   * A failure with its circumstances.
   *
   * @param call the name of the system call
   * @param subject what it was applied to, such as a path; may be empty
   * @param errno the error number, positive
   * @param detail what that means here, in words; may be empty
   */
  public LinuxException(String call, String subject, int errno, String detail) {
    super(message(call, subject, errno, detail));
    this.call = call;
    this.errno = errno;
  }

  private static String message(String call, String subject, int errno, String detail) {
    StringBuilder text = new StringBuilder(call);
    if (!subject.isEmpty()) {
      text.append('(').append(subject).append(')');
    }
    text.append(": ").append(Errno.name(errno)).append(", ").append(Errno.text(errno));
    if (!detail.isEmpty()) {
      text.append(": ").append(detail);
    }
    return text.toString();
  }

  /**
   * Turns a result of the kernel into a value or an exception.
   *
   * @param call the name of the system call
   * @param result a value, or a negated error number
   * @return the value, never negative
   * @throws LinuxException when the result is negative
   */
  public static long check(String call, long result) throws LinuxException {
    if (result < 0) {
      throw new LinuxException(call, (int) -result);
    }
    return result;
  }

  /** The name of the system call. */
  public String call() {
    return call;
  }

  /** The error number, positive; see {@link Errno}. */
  public int errno() {
    return errno;
  }

  /** The name of the error number, such as {@code EAGAIN}. */
  public String errnoName() {
    return Errno.name(errno);
  }
}
