// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import picocli.CommandLine.Option;

/** What a device offers, or a driver accepts, of the features of the rings: a picocli mixin. */
public final class RingOptions {
  @Option(
      names = "--packed",
      defaultValue = "on",
      paramLabel = "on|off",
      description = "Allow packed virtqueues (default: ${DEFAULT-VALUE}).")
  private Switch packed;

  @Option(
      names = "--in-order",
      defaultValue = "off",
      paramLabel = "on|off",
      description = "Allow to complete requests in their order only (default: ${DEFAULT-VALUE}).")
  private Switch inOrder;

  @Option(
      names = "--event-idx",
      defaultValue = "on",
      paramLabel = "on|off",
      description = "Allow the event index, to save notifications (default: ${DEFAULT-VALUE}).")
  private Switch eventIndex;

  @Option(
      names = "--indirect",
      defaultValue = "on",
      paramLabel = "on|off",
      description = "Allow descriptors in tables of their own (default: ${DEFAULT-VALUE}).")
  private Switch indirect;

  /** For picocli. */
  public RingOptions() {}

  /** What is on. */
  public RingChoice choice() {
    return new RingChoice(
        packed == Switch.ON, inOrder == Switch.ON, eventIndex == Switch.ON, indirect == Switch.ON);
  }
}
