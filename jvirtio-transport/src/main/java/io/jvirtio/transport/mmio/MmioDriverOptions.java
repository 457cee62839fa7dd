// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.transport.RegisterTransport;
import java.time.Duration;

/**
 * How a {@link MmioDriverTransport} works. Immutable.
 *
 * @param interrupts whether to enable the interrupt; else owners poll
 * @param bigEndian whether to use the legacy interface as a big-endian driver does
 * @param resetDeadline how long the device may take to reset itself or a queue
 */
public record MmioDriverOptions(boolean interrupts, boolean bigEndian, Duration resetDeadline) {
  /** Checks what can be checked here. */
  public MmioDriverOptions {
    if (resetDeadline.isNegative() || resetDeadline.isZero()) {
      throw new IllegalArgumentException("deadline " + resetDeadline);
    }
  }

  /** With the interrupt. */
  public static MmioDriverOptions defaults() {
    return new MmioDriverOptions(true, false, RegisterTransport.RESET_DEADLINE);
  }

  /** These options with the interrupt, or without. */
  public MmioDriverOptions withInterrupts(boolean newInterrupts) {
    return new MmioDriverOptions(newInterrupts, bigEndian, resetDeadline);
  }

  /** These options as a big-endian driver has them, or not. */
  public MmioDriverOptions withBigEndian(boolean newBigEndian) {
    return new MmioDriverOptions(interrupts, newBigEndian, resetDeadline);
  }

  /** These options with another deadline. */
  public MmioDriverOptions withResetDeadline(Duration newResetDeadline) {
    return new MmioDriverOptions(interrupts, bigEndian, newResetDeadline);
  }
}
