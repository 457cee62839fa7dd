// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.io.InterruptedIOException;

/** A {@link Waker} ended a wait. */
public final class WokenException extends InterruptedIOException {
  private static final long serialVersionUID = 1L;

  /** With the name of what was interrupted. */
  public WokenException(String operation) {
    super(operation + " was woken for shutdown");
  }
}
