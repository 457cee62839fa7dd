// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.RingChoice;
import io.jvirtio.cli.Switch;
import picocli.CommandLine.Option;

/** What the device and QEMU offer to a guest of the features of the rings: a picocli mixin. */
final class BootRingOptions {
  // QEMU's own choice is split; its name alone has always asked for packed ones.
  @Option(
      names = "--packed",
      arity = "0..1",
      defaultValue = "off",
      fallbackValue = "on",
      paramLabel = "on|off",
      description = "Offer packed virtqueues (default: ${DEFAULT-VALUE}; alone: on).")
  private Switch packed;

  @Option(
      names = "--in-order",
      defaultValue = "off",
      paramLabel = "on|off",
      description =
          "Offer to complete requests in their order, if QEMU can (default: ${DEFAULT-VALUE}).")
  private Switch inOrder;

  @Option(
      names = "--event-idx",
      defaultValue = "on",
      paramLabel = "on|off",
      description = "Offer the event index, to save notifications (default: ${DEFAULT-VALUE}).")
  private Switch eventIndex;

  @Option(
      names = "--indirect",
      defaultValue = "on",
      paramLabel = "on|off",
      description = "Offer descriptors in tables of their own (default: ${DEFAULT-VALUE}).")
  private Switch indirect;

  /** For picocli. */
  BootRingOptions() {}

  /** What is on. */
  RingChoice choice() {
    return new RingChoice(
        packed == Switch.ON, inOrder == Switch.ON, eventIndex == Switch.ON, indirect == Switch.ON);
  }
}
