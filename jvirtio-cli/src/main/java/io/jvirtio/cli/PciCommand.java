// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The commands that serve whole PCI functions. */
@Command(
    name = "pci",
    synopsisSubcommandLabel = "TYPE",
    description = "Serve a whole PCI device to a virtual machine, by vfio-user.",
    subcommands = {PciBlkCommand.class},
    footer = {"", "See: jvirtio pci blk --help"})
public final class PciCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public PciCommand() {}

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "the type of the device is missing: blk");
  }
}
