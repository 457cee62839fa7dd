// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.Logging;
import io.jvirtio.transport.pci.PciDriverOptions;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.stream.Stream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Where devices are, for every command that connects to one. */
class PlaceOptions {
  private static final double LEAST_SECONDS = 0.01;
  private static final double MOST_SECONDS = 3600;

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = "--socket-path",
      paramLabel = "PATH",
      description = "The UNIX socket where a vhost-user back-end listens.")
  private Path socketPath;

  @Option(
      names = "--qtest",
      paramLabel = "PATH",
      description =
          "Instead: the UNIX socket of a QEMU (10 or newer) with -accel qtest, whose own devices"
              + " are meant.")
  private Path qtest;

  @Option(
      names = "--memory",
      paramLabel = "FILE",
      description = "With --qtest: the file of that QEMU's RAM, shared.")
  private Path memory;

  @Option(
      names = "--vfio-user",
      paramLabel = "PATH",
      description = "Instead: the UNIX socket where a vfio-user server has a PCI function.")
  private Path vfioUser;

  @Option(
      names = "--legacy",
      description = "On PCI: use the legacy interface of a device that has both.")
  private boolean legacy;

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
  PlaceOptions() {}

  /** Sets up the log and checks what can be checked here. */
  void begin() {
    Logging.setUp(logLevel);
    require(
        timeout >= LEAST_SECONDS && timeout <= MOST_SECONDS,
        "--timeout is " + timeout + " s, must be 0.01 to 3600");
    long places = Stream.of(socketPath, qtest, vfioUser).filter(Objects::nonNull).count();
    require(
        places > 0,
        "which device? name it by --socket-path (vhost-user), --qtest (a QEMU) or --vfio-user");
    require(places == 1, "--socket-path, --qtest and --vfio-user are different places: name one");
    require(qtest == null || memory != null, "--qtest needs --memory, the file of QEMU's RAM");
    require(qtest != null || memory == null, "--memory goes with --qtest only");
    require(socketPath == null || !legacy, "--legacy goes with --qtest and --vfio-user only");
  }

  /** Wrong usage, unless this holds. */
  final void require(boolean holds, String otherwise) {
    if (!holds) {
      throw wrong(otherwise);
    }
  }

  /** Wrong usage. */
  final ParameterException wrong(String what) {
    return new ParameterException(spec.commandLine(), what);
  }

  /** Whether it is behind a socket of vhost-user, rather than on a bus. */
  final boolean isVhostUser() {
    return socketPath != null;
  }

  /** Whether it is at a QEMU. */
  final boolean isQtest() {
    return qtest != null;
  }

  /** The socket of vhost-user. */
  final VhostUserPlace vhostUser() {
    return new VhostUserPlace(socketPath, timeout());
  }

  /**
   * A device of a QEMU.
   *
   * @param address null for the only one of its type
   */
  final QtestPlace qtest(String address, PciDriverOptions driver) {
    return new QtestPlace(qtest, memory, address, chosen(driver), timeout());
  }

  /** A device of a vfio-user server. */
  final VfioUserPlace vfioUser(PciDriverOptions driver) {
    return new VfioUserPlace(vfioUser, chosen(driver), timeout());
  }

  private PciDriverOptions chosen(PciDriverOptions driver) {
    return driver.withChoice(
        legacy ? PciDriverOptions.Choice.LEGACY : PciDriverOptions.Choice.MODERN_FIRST);
  }

  /** The longest wait for an answer. */
  private Duration timeout() {
    return Duration.ofNanos((long) (timeout * 1e9));
  }
}
