// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Json;
import io.jvirtio.cli.Logging;
import io.jvirtio.cli.RingOptions;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Shows device and driver at work, without a virtual machine. */
@Command(
    name = "demo",
    sortOptions = false,
    description = {
      "See a device and its driver at work, without a virtual machine.",
      "",
      "Makes a disk image, serves it from another process, drives it from this one: identify,"
          + " write, flush, read back and compare, random reads, discard. Then says what went"
          + " through the rings. Needs no privileges and leaves nothing behind.",
      "",
    },
    footer = {
      "",
      "Examples:",
      "  jvirtio demo",
      "  jvirtio demo --size=1G",
      "  jvirtio demo --json | jq .randomReadDepth32.kiops",
      "",
      "Exit codes: 0 all of it worked, 1 something did not, 2 wrong usage.",
    })
public final class DemoCommand implements Callable<Integer> {
  private static final long MIB = 1 << 20;
  private static final long MOST = 1L << 40;

  @Spec private CommandSpec spec;

  @Option(
      names = "--size",
      defaultValue = "256M",
      paramLabel = "BYTES",
      converter = Sizes.class,
      description = "Size of the disk, a multiple of 1M (default: ${DEFAULT-VALUE}).")
  private long size;

  @Mixin private RingOptions rings;

  @Option(
      names = "--json",
      description = "The summary as JSON on standard output, all else on standard error.")
  private boolean json;

  @Option(
      names = "--log-level",
      defaultValue = "error",
      paramLabel = "LEVEL",
      description = "off, error, warning, info, debug or trace (default: ${DEFAULT-VALUE}).")
  private Logging.LogLevel logLevel;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public DemoCommand() {}

  @Override
  public Integer call() throws CliException, InterruptedException {
    Logging.setUp(logLevel);
    if (size < MIB || size > MOST || size % MIB != 0) {
      throw new ParameterException(
          spec.commandLine(), "--size is " + size + ", must be a multiple of 1M up to 1T");
    }
    PrintWriter answers = spec.commandLine().getOut();
    PrintWriter out = json ? spec.commandLine().getErr() : answers;
    Cancel cancel = new Cancel();
    try (Demo demo =
        new Demo(out, ProgressBar.isTerminal() && !json, size, rings.choice(), cancel)) {
      DemoSummary summary = demo.run();
      out.println();
      summary.lines().forEach(out::println);
      if (json) {
        answers.println(Json.of(result(true, summary.json())));
      }
      return 0;
    } catch (CliException e) {
      // What a signal breaks is not worth a word.
      CliException told = cancel.isAsked() ? new CliException("ended by a signal", e) : e;
      if (json) {
        answers.println(Json.of(result(false, Map.of("error", told.getMessage()))));
      }
      throw told;
    }
  }

  private static Map<String, Object> result(boolean ok, Map<String, Object> more) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("ok", ok);
    map.putAll(more);
    return map;
  }
}
