// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.RegisterTransport;
import java.time.Duration;
import java.util.List;
import java.util.Objects;

/**
 * How a {@link PciDriverTransport} works. Immutable.
 *
 * @param choice which interface to use of a device that has both
 * @param attempts how to get interrupts, in this order until one works; none to do without, for
 *     owners that poll
 * @param bigEndian whether to use the legacy interface as a big-endian driver does
 * @param resetDeadline how long the device may take to reset itself or a queue
 */
public record PciDriverOptions(
    Choice choice, List<Attempt> attempts, boolean bigEndian, Duration resetDeadline) {
  /** Which interface to use. */
  public enum Choice {
    /** The modern one, and the legacy one of a device that has no other. */
    MODERN_FIRST,
    /** Only the modern one. */
    MODERN,
    /** Only the legacy one. */
    LEGACY
  }

  /** One way to get interrupts. */
  public enum Attempt {
    /** A vector for the configuration, and one for each queue that has a callback. */
    MSIX_EACH("MSI-X with a vector for each queue"),
    /** A vector for the configuration, and one for all queues. */
    MSIX_SHARED("MSI-X with a vector for all queues"),
    /** The interrupt pin. */
    INTX("INTx");

    private final String text;

    Attempt(String text) {
      this.text = text;
    }

    @Override
    public String toString() {
      return text;
    }
  }

  /** Checks what can be checked here. */
  public PciDriverOptions {
    Objects.requireNonNull(choice);
    attempts = List.copyOf(attempts);
    if (resetDeadline.isNegative() || resetDeadline.isZero()) {
      throw new IllegalArgumentException("deadline " + resetDeadline);
    }
  }

  /** The modern interface first, and the three attempts from many vectors to none. */
  public static PciDriverOptions defaults() {
    return new PciDriverOptions(
        Choice.MODERN_FIRST, List.of(Attempt.values()), false, RegisterTransport.RESET_DEADLINE);
  }

  /** These options with another choice of the interface. */
  public PciDriverOptions withChoice(Choice newChoice) {
    return new PciDriverOptions(newChoice, attempts, bigEndian, resetDeadline);
  }

  /** These options with other attempts. */
  public PciDriverOptions withAttempts(Attempt... newAttempts) {
    return new PciDriverOptions(choice, List.of(newAttempts), bigEndian, resetDeadline);
  }

  /** These options as a big-endian driver has them, or not. */
  public PciDriverOptions withBigEndian(boolean newBigEndian) {
    return new PciDriverOptions(choice, attempts, newBigEndian, resetDeadline);
  }

  /** These options with another deadline. */
  public PciDriverOptions withResetDeadline(Duration newResetDeadline) {
    return new PciDriverOptions(choice, attempts, bigEndian, newResetDeadline);
  }
}
