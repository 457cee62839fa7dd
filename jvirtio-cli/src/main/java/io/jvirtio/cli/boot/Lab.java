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
    String home = System.getProperty("jvirtio.home");
    Path script = Path.of(home == null ? "." : home, "scripts", "lab");
    if (!Files.isRegularFile(script)) {
      throw new CliException(
          "scripts/lab is not where this program was started from ("
              + script.toAbsolutePath().normalize()
              + "): start it by the jvirtio script of a checkout or distribution");
    }
    Path output = scratch.resolve("lab.env");
    ProcessBuilder builder = Programs.builder(List.of("bash", script.toString(), "boot"));
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
    return parse(Files.readAllLines(output));
  }

  /** Reads KEY=VALUE lines. */
  static Lab parse(List<String> lines) throws CliException {
    Map<String, String> values = new HashMap<>();
    for (String line : lines) {
      int equals = line.indexOf('=');
      if (equals > 0) {
        values.put(line.substring(0, equals), line.substring(equals + 1));
      }
    }
    for (String key : List.of("CACHE", "QEMU", "KERNEL", "MODULES", "BUSYBOX")) {
      if (values.getOrDefault(key, "").isEmpty()) {
        throw new CliException("scripts/lab named no " + key);
      }
    }
    return new Lab(
        Path.of(values.get("CACHE")),
        Path.of(values.get("QEMU")),
        Path.of(values.get("KERNEL")),
        Path.of(values.get("MODULES")),
        Path.of(values.get("BUSYBOX")));
  }
}
