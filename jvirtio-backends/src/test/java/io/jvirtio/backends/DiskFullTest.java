// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileOptions.Engine;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A disk that takes no more. Instead of filling a file system, which takes privileges, the process
 * that serves the image gets a limit on the size of files: the kernel refuses a write in the same
 * place and way, after a short one where it crosses the limit.
 */
class DiskFullTest {
  private static final int LIMIT = 1 << 20;

  @TempDir(factory = TargetFolder.class)
  Path folder;

  @ParameterizedTest
  @EnumSource(Engine.class)
  void reachesTheDriverAndIsCounted(Engine engine) throws IOException, InterruptedException {
    Path image = ImageDriver.sparse(folder, 4 * LIMIT);
    // POSIX: in units of 512 bytes.
    String script = "ulimit -f " + LIMIT / 512 + " && exec \"$@\"";
    List<String> command =
        List.of(
            "sh",
            "-c",
            script,
            "sh",
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-XX:-UsePerfData",
            "-cp",
            classPath(),
            DiskFullMain.class.getName(),
            image.toString(),
            engine.name(),
            Integer.toString(LIMIT));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "still running");
    assertEquals("0 1 1 0, 2 errors", output.strip());
    assertEquals(0, process.exitValue());
  }

  /** Everything that this test runs with, modules or not. */
  private static String classPath() {
    String modules = System.getProperty("jdk.module.path", "");
    String tests = Path.of("target", "test-classes").toAbsolutePath().toString();
    return String.join(":", tests, modules, System.getProperty("java.class.path"));
  }
}
