// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.cli.boot.BootCommand;
import io.jvirtio.cli.drive.BenchCommand;
import io.jvirtio.cli.drive.CopyCommand;
import io.jvirtio.cli.drive.DemoCommand;
import io.jvirtio.cli.drive.ProbeCommand;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.util.Arrays;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * The {@code jvirtio} command. Exit codes: 0 for success, 1 for failure, 2 for wrong usage. Answers
 * go to standard output, messages to standard error.
 */
@Command(
    name = "jvirtio",
    versionProvider = Main.Version.class,
    synopsisSubcommandLabel = "COMMAND",
    description = "Virtio devices in Java, for virtual machines.",
    subcommands = {
      DemoCommand.class,
      BootCommand.class,
      BlkCommand.class,
      PciCommand.class,
      ProbeCommand.class,
      CopyCommand.class,
      BenchCommand.class
    },
    footer = {
      "",
      "See device and driver work:  jvirtio demo",
      "With a real Linux guest:     jvirtio boot",
      "What a command takes:        jvirtio blk --help",
    })
public final class Main implements Runnable {
  /** What {@code --print-capabilities} answers (vhost-user, Back-end program conventions). */
  static final String CAPABILITIES =
      "{\"type\":\"block\",\"features\":[\"read-only\",\"blk-file\"]}";

  @Spec private CommandSpec spec;

  @CommandLine.Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  @CommandLine.Option(
      names = {"-V", "--version"},
      versionHelp = true,
      description = "Show the version and end.")
  private boolean version;

  /** For the command line and its tests. */
  public Main() {}

  /** Runs one command and ends the process with its exit code. */
  public static void main(String[] args) {
    Charset charset = Charset.defaultCharset();
    PrintWriter out = new PrintWriter(System.out, true, charset);
    PrintWriter err = new PrintWriter(System.err, true, charset);
    int code = run(out, err, args);
    out.flush();
    err.flush();
    // Not by the end of main: a thread that hangs must not keep the process.
    System.exit(code);
  }

  /**
   * Runs one command.
   *
   * @param out gets answers
   * @param err gets messages
   * @return the exit code: 0, 1 or 2
   */
  static int run(PrintWriter out, PrintWriter err, String... args) {
    // The conventions want every other argument ignored, wrong ones too.
    if (args.length > 0
        && args[0].equals("blk")
        && Arrays.asList(args).contains("--print-capabilities")) {
      out.println(CAPABILITIES);
      return 0;
    }
    return commandLine(out, err).execute(args);
  }

  private static CommandLine commandLine(PrintWriter out, PrintWriter err) {
    CommandLine line = new CommandLine(new Main());
    line.setOut(out);
    line.setErr(err);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.setUsageHelpAutoWidth(true);
    line.setParameterExceptionHandler(Failures::wrongUsage);
    line.setExecutionExceptionHandler(Failures::failed);
    return line;
  }

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(), "a command is missing: demo, boot, blk, pci, probe, copy or bench");
  }

  /** The version of this build. */
  static final class Version implements CommandLine.IVersionProvider {
    /** For picocli. */
    Version() {}

    @Override
    public String[] getVersion() {
      String version = Main.class.getPackage().getImplementationVersion();
      return new String[] {"jvirtio " + (version == null ? "0.1.0-SNAPSHOT" : version)};
    }
  }
}
