// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.Logging;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import java.nio.file.Path;
import java.time.Duration;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** What every command takes that connects to a device. */
final class SocketOptions {
  private static final double LEAST_SECONDS = 0.01;
  private static final double MOST_SECONDS = 3600;

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = "--socket-path",
      required = true,
      paramLabel = "PATH",
      description = "The UNIX socket where a vhost-user back-end listens.")
  Path socketPath;

  @Option(
      names = "--timeout",
      defaultValue = "5",
      paramLabel = "SECONDS",
      description = "Longest wait for each answer of the device (default: ${DEFAULT-VALUE}).")
  private double timeout;

  @Option(
      names = "--log-level",
      defaultValue = "error",
      paramLabel = "LEVEL",
      description = "off, error, warning, info, debug or trace (default: ${DEFAULT-VALUE}).")
  private Logging.LogLevel logLevel;

  /** For picocli. */
  SocketOptions() {}

  /** Sets up the log and checks what can be checked here. */
  void begin() {
    Logging.setUp(logLevel);
    if (!(timeout >= LEAST_SECONDS && timeout <= MOST_SECONDS)) {
      throw new ParameterException(
          spec.commandLine(), "--timeout is " + timeout + " s, must be 0.01 to 3600");
    }
  }

  /** The longest wait for an answer. */
  Duration timeout() {
    return Duration.ofNanos((long) (timeout * 1e9));
  }

  /** How to connect, with that patience. */
  VhostUserFrontEndOptions frontEnd() {
    return VhostUserFrontEndOptions.defaults()
        .withConnectTimeout(timeout())
        .withReplyDeadline(timeout());
  }
}
