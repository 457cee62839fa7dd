// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
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
    Process process =
        JvirtioProcess.builder(
                "blk", "--socket-path=" + socket, "--blk-file=" + image, "--print-stats")
            .redirectOutput(out.toFile())
            .start();
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
      // What was asked for, and nothing else.
      String stats = Files.readString(out);
      assertEquals(1, stats.lines().count(), stats);
      assertTrue(stats.startsWith("{\"requests\":{\"in\":0,"), stats);
      assertTrue(stats.contains("\"notificationsSuppressed\":0}"), stats);
    } finally {
      process.destroyForcibly();
    }
  }
}
