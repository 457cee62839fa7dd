// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * What a guest needs of the host, as {@code scripts/lab} brings it up. Immutable.
 *
 * @param cache the folder in which things are remembered
 * @param qemu the program
 * @param kernel a Linux kernel
 * @param modules its folder {@code lib/modules/VERSION}
 * @param busybox a static busybox
 */
record Lab(Path cache, Path qemu, Path kernel, Path modules, Path busybox) {
  private static final Duration DEADLINE = Duration.ofMinutes(20);

  /** Gets what is missing; the script says on standard error what it does. */
  static Lab bringUp(Path scratch) throws IOException, CliException, InterruptedException {
    return parse(run(scratch, "boot"));
  }

  /** This lab with a newer QEMU, which the script gets where it is missing. */
  Lab withNewerQemu(Path scratch) throws IOException, CliException, InterruptedException {
    Path commands = Path.of(value(values(run(scratch, "full")), "BIN"));
    return new Lab(cache, commands.resolve("qemu-system-x86_64"), kernel, modules, busybox);
  }

  private static List<String> run(Path scratch, String part)
      throws IOException, CliException, InterruptedException {
    String home = System.getProperty("jvirtio.home");
    Path script = Path.of(home == null ? "." : home, "scripts", "lab");
    if (!Files.isRegularFile(script)) {
      throw new CliException(
          "scripts/lab is not where this program was started from ("
              + script.toAbsolutePath().normalize()
              + "): start it by the jvirtio script of a checkout or distribution");
    }
    Path output = scratch.resolve("lab.env");
    ProcessBuilder builder = Programs.builder(List.of("bash", script.toString(), part));
    builder.redirectOutput(output.toFile()).redirectError(ProcessBuilder.Redirect.INHERIT);
    Process process = Programs.start(builder);
    try {
      if (!process.waitFor(DEADLINE.toSeconds(), TimeUnit.SECONDS)) {
        throw new CliException("scripts/lab still runs after " + Programs.seconds(DEADLINE));
      }
    } finally {
      Programs.end(process);
    }
    if (process.exitValue() != 0) {
      throw new CliException(
          "the guest's parts could not be brought up; the lines above say what to do");
    }
    return Files.readAllLines(output);
  }

  /** Reads KEY=VALUE lines. */
  static Lab parse(List<String> lines) throws CliException {
    Map<String, String> values = values(lines);
    return new Lab(
        Path.of(value(values, "CACHE")),
        Path.of(value(values, "QEMU")),
        Path.of(value(values, "KERNEL")),
        Path.of(value(values, "MODULES")),
        Path.of(value(values, "BUSYBOX")));
  }

  private static Map<String, String> values(List<String> lines) {
    Map<String, String> values = new HashMap<>();
    for (String line : lines) {
      int equals = line.indexOf('=');
      if (equals > 0) {
        values.put(line.substring(0, equals), line.substring(equals + 1));
      }
    }
    return values;
  }

  private static String value(Map<String, String> values, String key) throws CliException {
    String value = values.getOrDefault(key, "");
    if (value.isEmpty()) {
      throw new CliException("scripts/lab named no " + key);
    }
    return value;
  }
}
