// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Json;
import io.jvirtio.cli.Logging;
import io.jvirtio.cli.PciChoice;
import io.jvirtio.cli.RingChoice;
import io.jvirtio.linux.LoopMode;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Boots a Linux guest on a disk that this process serves. */
@Command(
    name = "boot",
    sortOptions = false,
    description = {
      "Boot a Linux guest on a disk that is served from here.",
      "",
      "Without options: makes a disk with files, has an unmodified Linux find it, mount it, read"
          + " and write; then checks what the guest wrote, and ends. What is missing (QEMU, a"
          + " kernel, busybox) is fetched once into a cache folder.",
      "",
    },
    footer = {
      "",
      "Examples:",
      "  jvirtio boot",
      "  jvirtio boot --interactive --queues=4",
      "  jvirtio boot --packed --event-idx=off",
      "  jvirtio boot --bus=pci --profile=legacy --irq=intx",
      "  jvirtio boot --kernel=/boot/vmlinuz-6.12 --disk=disk.img",
      "",
      "Exit codes: 0 all of it worked, 1 something did not, 2 wrong usage.",
    })
public final class BootCommand implements Callable<Integer> {
  private static final int MAX_QUEUES = 64;

  /** How QEMU reaches the disk. */
  enum Bus {
    /** Its queues are served, and QEMU makes a device of them. */
    VHOST_USER("vhost-user"),
    /** The whole device is served, by vfio-user. */
    PCI("pci");

    private final String word;

    Bus(String word) {
      this.word = word;
    }

    /** As the option has it. */
    @Override
    public String toString() {
      return word;
    }
  }

  @Spec private CommandSpec spec;

  @Option(names = "--interactive", description = "Give the guest's shell instead.")
  private boolean interactive;

  @Option(
      names = "--kernel",
      paramLabel = "FILE",
      description = "Your kernel. Its modules are looked for beside it and in /lib/modules.")
  private Path kernel;

  @Option(
      names = "--initrd",
      paramLabel = "FILE",
      description = "Your initial RAM disk: the guest does what that says, until it powers off.")
  private Path initrd;

  @Option(
      names = "--disk",
      paramLabel = "IMAGE",
      description = "Your disk image. The guest only reads it, except with --interactive/--initrd.")
  private Path disk;

  @Option(
      names = "--bus",
      defaultValue = "vhost-user",
      paramLabel = "BUS",
      description =
          "How QEMU reaches the disk: vhost-user, or pci for a whole PCI device by vfio-user"
              + " (default: ${DEFAULT-VALUE}).")
  private Bus bus;

  @Mixin private PciChoice.Given pci;
  @Mixin private BootRingOptions rings;

  @Option(
      names = "--queues",
      defaultValue = "1",
      paramLabel = "N",
      description = "Queues of the disk, 1 to 64 (default: ${DEFAULT-VALUE}).")
  private int queues;

  @Option(
      names = "--mode",
      defaultValue = "adaptive",
      paramLabel = "MODE",
      description = "How to wait for the guest: event, adaptive or poll (default: adaptive).")
  private LoopMode mode;

  @Option(
      names = "--json",
      description = "The summary as JSON on standard output, all else on standard error.")
  private boolean json;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public BootCommand() {}

  @Override
  public Integer call() throws CliException, IOException, InterruptedException {
    if (queues < 1 || queues > MAX_QUEUES) {
      throw new ParameterException(
          spec.commandLine(), "--queues is " + queues + ", must be 1 to " + MAX_QUEUES);
    }
    if (interactive && json) {
      throw new ParameterException(
          spec.commandLine(), "--interactive and --json do not go together");
    }
    PciChoice function = function();
    RingChoice features = function == null ? rings.choice() : function.rings(rings.choice(), spec);
    mustBeFile("--kernel", kernel);
    mustBeFile("--initrd", initrd);
    Logging.setUp(Logging.LogLevel.WARNING);
    PrintWriter out = json ? spec.commandLine().getErr() : spec.commandLine().getOut();
    boolean terminal = System.console() != null && System.console().isTerminal() && !json;
    BootOptions options =
        new BootOptions(interactive, kernel, initrd, disk, features, function, queues, mode);
    try (Progress progress = new Progress(out, terminal);
        BootRun run = new BootRun(options, progress)) {
      Summary summary = run.run();
      report(summary, progress);
    } catch (CliException e) {
      if (json) {
        Map<String, Object> failure = new LinkedHashMap<>();
        failure.put("ok", false);
        failure.put("error", e.getMessage());
        spec.commandLine().getOut().println(Json.of(failure));
      }
      throw e;
    }
    return 0;
  }

  private PciChoice function() {
    if (bus == Bus.PCI) {
      return pci.choice();
    }
    for (String option : List.of("--profile", "--irq")) {
      if (spec.commandLine().getParseResult().hasMatchedOption(option)) {
        throw new ParameterException(
            spec.commandLine(), option + " is for --bus=pci: QEMU has the PCI device otherwise");
      }
    }
    return null;
  }

  private void report(Summary summary, Progress progress) {
    progress.line("");
    summary.lines().forEach(progress::line);
    if (json) {
      Map<String, Object> success = new LinkedHashMap<>();
      success.put("ok", true);
      success.putAll(summary.json());
      spec.commandLine().getOut().println(Json.of(success));
    }
  }

  private static void mustBeFile(String option, Path file) throws CliException {
    if (file != null && !Files.isRegularFile(file)) {
      throw new CliException(option + "=" + file + ": there is no such file");
    }
    if (file != null && !Files.isReadable(file)) {
      throw new CliException(option + "=" + file + " cannot be read: check its permissions");
    }
  }
}
