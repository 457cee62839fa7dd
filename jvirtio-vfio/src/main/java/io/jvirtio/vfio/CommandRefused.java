// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

/**
 * A command of the client is answered with an error; the connection goes on. Checked, and without a
 * stack trace, as {@link ProtocolFault}.
 */
public final class CommandRefused extends Exception {
  private static final long serialVersionUID = 1L;

  private final int errno;

  /**
   * A refusal with a text that says what is wrong.
   *
   * @param errno what the reply says, one of {@link io.jvirtio.linux.Errno}
   */
  public CommandRefused(int errno, String message) {
    super(message, null, false, false);
    this.errno = errno;
  }

  /** What the reply says. */
  public int errno() {
    return errno;
  }
}
