// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

/**
 * The client sent what makes the rest of the stream worthless; its connection ends. Checked, and
 * without a stack trace: it is an event of the peer, not of this code.
 */
public final class ProtocolFault extends Exception {
  private static final long serialVersionUID = 1L;

  /** A fault with a text that says which message and what is wrong with it. */
  public ProtocolFault(String message) {
    super(message, null, false, false);
  }
}
