// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.memory;

/**
 * The peer broke a rule. Checked, and without a stack trace: it is an event of the peer, not of
 * this code. One place catches it, the queue runner (or the transport for what is no ring).
 */
public final class PeerFault extends Exception {
  private static final long serialVersionUID = 1L;

  private final transient FaultReason reason;
  private final long detail;

  /**
   * A fault.
   *
   * @param reason which rule
   * @param detail the offending number (address, index, length), for people
   */
  public PeerFault(FaultReason reason, long detail) {
    super(null, null, false, false);
    this.reason = reason;
    this.detail = detail;
  }

  /** Which rule was broken. */
  public FaultReason reason() {
    return reason;
  }

  /** The offending number. */
  public long detail() {
    return detail;
  }

  @Override
  public String getMessage() {
    return String.format("%s (0x%x)", reason.text(), detail);
  }
}
