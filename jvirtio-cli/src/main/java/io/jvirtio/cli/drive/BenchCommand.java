// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The measuring commands. */
@Command(
    name = "bench",
    synopsisSubcommandLabel = "TYPE",
    description = "Measure a device: requests a second, latencies, notifications.",
    subcommands = {BenchBlkCommand.class},
    footer = {"", "See: jvirtio bench blk --help"})
public final class BenchCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public BenchCommand() {}

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "the type of the device is missing: blk");
  }
}
