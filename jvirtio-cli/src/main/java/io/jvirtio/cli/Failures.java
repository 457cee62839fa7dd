// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import java.lang.System.Logger.Level;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.MissingParameterException;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** Turns exceptions into one line on standard error and an exit code. */
final class Failures {
  private static final System.Logger LOG = System.getLogger(Failures.class.getName());

  private Failures() {}

  /** Wrong usage: exit code 2. */
  static int wrongUsage(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    String text =
        oneLine(e.getMessage()).replaceFirst("^Error: ", "").replace(" (case-insensitive)", "");
    if (e instanceof UnmatchedArgumentException unmatched) {
      String first = unmatched.getUnmatched().getFirst();
      text = (first.startsWith("-") ? "unknown option " : "unknown argument ") + first;
      List<String> known = unmatched.getSuggestions();
      if (!known.isEmpty()) {
        text += " (did you mean " + String.join(" or ", known.subList(0, 1)) + "?)";
      }
    }
    String unknown = unknownOption(command, args);
    if (e instanceof MissingParameterException && unknown != null) {
      // Its author believes to have given what is missing.
      text = "unknown option " + unknown;
    }
    String name = command.getCommandSpec().qualifiedName();
    command.getErr().println(name + ": " + text + "; see '" + name + " --help'");
    return CommandLine.ExitCode.USAGE;
  }

  private static String unknownOption(CommandLine command, String[] args) {
    for (String arg : args) {
      String option = arg.replaceFirst("=.*", "");
      if (option.startsWith("--") && command.getCommandSpec().findOption(option) == null) {
        return option;
      }
    }
    return null;
  }

  /** Everything else: exit code 1. */
  static int failed(Exception e, CommandLine command, ParseResult parsed) {
    String name = command.getCommandSpec().qualifiedName();
    if (e instanceof CliException) {
      command.getErr().println(name + ": " + oneLine(e.getMessage()));
    } else {
      command.getErr().println(name + ": unexpected failure: " + oneLine(e.toString()));
    }
    LOG.log(Level.DEBUG, "failure", e);
    return CommandLine.ExitCode.SOFTWARE;
  }

  private static String oneLine(String text) {
    return text == null ? "" : text.strip().replaceAll("\\s*\\R\\s*", "; ");
  }
}
