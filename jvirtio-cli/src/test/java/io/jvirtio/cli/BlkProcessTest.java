// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The daemon as a process of its own. */
@Timeout(60)
class BlkProcessTest {
  @TempDir private Path folder;

  @Test
  void servesUntilItIsTerminated() throws IOException, InterruptedException {
    Path image = folder.resolve("disk.img");
    try (RandomAccessFile content = new RandomAccessFile(image.toFile(), "rw")) {
      content.setLength(1 << 20);
    }
    Path socket = folder.resolve("s");
    Path out = folder.resolve("out");
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("--enable-native-access=ALL-UNNAMED");
    command.add("-cp");
    // What this JVM has on either path, all of it as the unnamed module.
    command.add(
        System.getProperty("java.class.path") + ":" + System.getProperty("jdk.module.path", ""));
    command.add(Main.class.getName());
    command.addAll(List.of("blk", "--socket-path=" + socket, "--blk-file=" + image));
    Process process = new ProcessBuilder(command).redirectOutput(out.toFile()).start();
    try (BufferedReader err = process.errorReader()) {
      String line = err.readLine();
      while (line != null && !line.contains("serving " + image)) {
        line = err.readLine();
      }
      assertTrue(line != null, "it ended without serving");
      process.destroy();
      assertTrue(process.waitFor(30, TimeUnit.SECONDS), "it does not end");
      assertEquals(0, process.exitValue());
      assertTrue(Files.notExists(socket), "the socket is left");
      assertEquals(0, Files.size(out), "something on standard output");
    } finally {
      process.destroyForcibly();
    }
  }
}
