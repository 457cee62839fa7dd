// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs other programs, each with a deadline. */
final class Programs {
  private static final Duration PATIENCE = Duration.ofSeconds(3);

  private Programs() {}

  /** What a program wrote, standard error included, and its exit code. */
  record Result(int code, String output) {}

  /**
   * Runs a program to its end.
   *
   * @param scratch a folder for what it writes
   * @throws CliException when it is missing, or still runs at the deadline, when it is ended
   */
  static Result run(Path scratch, Duration deadline, List<String> command)
      throws IOException, CliException, InterruptedException {
    Path output = Files.createTempFile(scratch, "output", ".txt");
    ProcessBuilder builder = builder(command);
    builder.redirectErrorStream(true).redirectOutput(output.toFile());
    Process process = start(builder);
    try {
      if (!process.waitFor(deadline.toMillis(), TimeUnit.MILLISECONDS)) {
        throw new CliException(command.getFirst() + " still runs after " + seconds(deadline));
      }
      return new Result(process.exitValue(), Files.readString(output).strip());
    } finally {
      end(process);
      Files.deleteIfExists(output);
    }
  }

  /** A program with nothing to read, which also finds what is in the sbin folders. */
  static ProcessBuilder builder(List<String> command) {
    ProcessBuilder builder = new ProcessBuilder(find(command));
    builder.redirectInput(new File("/dev/null"));
    builder.environment().merge("PATH", "/usr/sbin:/sbin", (path, more) -> path + ":" + more);
    // Messages that are read by this program.
    builder.environment().put("LC_ALL", "C.UTF-8");
    return builder;
  }

  /** The JVM looks a program up in its own PATH, where e2fsprogs often are not. */
  private static List<String> find(List<String> command) {
    String name = command.getFirst();
    if (name.contains("/")) {
      return command;
    }
    for (String folder : (System.getenv("PATH") + ":/usr/sbin:/sbin").split(":")) {
      Path file = Path.of(folder, name);
      if (Files.isExecutable(file)) {
        List<String> found = new java.util.ArrayList<>(command);
        found.set(0, file.toString());
        return found;
      }
    }
    return command;
  }

  /** Starts a program, or says that it is missing. */
  static Process start(ProcessBuilder builder) throws CliException {
    try {
      return builder.start();
    } catch (IOException e) {
      throw new CliException(
          "cannot start " + builder.command().getFirst() + ": " + e.getMessage(), e);
    }
  }

  /** Ends a program, politely first. Harmless when it has ended. */
  static void end(Process process) {
    process.destroy();
    try {
      if (process.waitFor(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
        return;
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    process.destroyForcibly();
  }

  static String seconds(Duration duration) {
    return duration.toSeconds() + " s";
  }
}
