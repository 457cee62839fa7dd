// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.linux.LoopMode;
import picocli.CommandLine.Option;

/** How a command serves: a picocli mixin. */
final class ServerOptions {
  @Option(
      names = "--mode",
      defaultValue = "adaptive",
      paramLabel = "MODE",
      description =
          "How to wait for the guest: event (sleep), adaptive (poll a moment, then sleep) or poll"
              + " (never sleep) (default: ${DEFAULT-VALUE}).")
  private LoopMode mode;

  @Option(names = "--one-shot", description = "End when the first front-end has left.")
  private boolean oneShot;

  @Option(
      names = "--print-stats",
      description = "At the end, print what was done as one JSON object on standard output.")
  private boolean printStats;

  @Option(
      names = "--log-level",
      defaultValue = "info",
      paramLabel = "LEVEL",
      description = "off, error, warning, info, debug or trace (default: ${DEFAULT-VALUE}).")
  private Logging.LogLevel logLevel;

  /** For picocli. */
  ServerOptions() {}

  LoopMode mode() {
    return mode;
  }

  boolean oneShot() {
    return oneShot;
  }

  boolean printStats() {
    return printStats;
  }

  Logging.LogLevel logLevel() {
    return logLevel;
  }
}
