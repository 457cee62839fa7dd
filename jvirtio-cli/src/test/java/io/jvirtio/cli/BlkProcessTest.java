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
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The daemon as a process of its own. */
@Timeout(60)
class BlkProcessTest {
  @TempDir private Path folder;

  @ParameterizedTest
  @CsvSource({
    "blk, '\"frontEnds\":0,\"notificationsReceived\":0,'",
    "pci blk, '\"clients\":0,\"registerAccesses\":0,'",
    "pci blk --profile=legacy --irq=intx, '\"clients\":0,\"registerAccesses\":0,'",
  })
  void servesUntilItIsTerminated(String command, String counts)
      throws IOException, InterruptedException {
    Path image = folder.resolve("disk.img");
    try (RandomAccessFile content = new RandomAccessFile(image.toFile(), "rw")) {
      content.setLength(1 << 20);
    }
    Path socket = folder.resolve("s");
    Path out = folder.resolve("out");
    Process process =
        JvirtioProcess.builder(
                (command + " --print-stats --socket-path=" + socket + " --blk-file=" + image)
                    .split(" "))
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
      assertTrue(stats.contains(counts), stats);
      assertTrue(stats.contains("\"notificationsSuppressed\":0}"), stats);
    } finally {
      process.destroyForcibly();
    }
  }
}
