// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

/** A failure whose message is all that a user needs: what is wrong, and what to do. */
public final class CliException extends Exception {
  private static final long serialVersionUID = 1L;

  /** A failure explained in one line. */
  public CliException(String message) {
    super(message);
  }

  /** A failure explained in one line, and where it comes from. */
  public CliException(String message, Throwable cause) {
    super(message, cause);
  }
}
