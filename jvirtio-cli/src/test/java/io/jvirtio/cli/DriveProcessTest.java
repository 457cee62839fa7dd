// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.devices.blk.BlkOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Commands as processes: what a signal leaves behind, and the demonstration. */
@Timeout(120)
class DriveProcessTest {
  @TempDir private Path folder;

  private void assertEmpty() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(), files.toList());
    }
  }

  private Process start(String... arguments) throws IOException {
    ProcessBuilder builder = JvirtioProcess.builder(arguments);
    builder.environment().put("TMPDIR", folder.toString());
    return builder.start();
  }

  private static int end(Process process) throws InterruptedException {
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "it does not end");
    return process.exitValue();
  }

  @Test
  void theDemonstrationEndsByItself() throws IOException, InterruptedException {
    Process process = start("demo", "--size=8M");
    try {
      String out = new String(process.getInputStream().readAllBytes());
      String err = new String(process.getErrorStream().readAllBytes());
      assertEquals(0, end(process), err);
      assertEquals("", err);
      for (String part :
          List.of(
              "serves a new image, 8 MiB",
              "found a disk of 8 MiB, serial \"jvirtio-demo\"",
              "read back, every byte is right",
              "reads as zeroes",
              "p99.9",
              "driver to device: ",
              "device to driver: ",
              "VIRTIO_BLK_F_DISCARD")) {
        assertTrue(out.contains(part), out + " lacks: " + part);
      }
      assertEmpty();
    } finally {
      process.destroyForcibly();
    }
  }

  @Test
  void theDemonstrationAsJson() throws IOException, InterruptedException {
    Process process = start("demo", "--size=1M", "--json");
    try {
      String out = new String(process.getInputStream().readAllBytes());
      assertEquals(0, end(process), new String(process.getErrorStream().readAllBytes()));
      assertEquals(1, out.lines().count(), out);
      assertTrue(out.startsWith("{\"ok\":true,\"sizeBytes\":1048576,"), out);
      assertTrue(out.contains("\"randomReadDepth32\":{\"kiops\":"), out);
      assertTrue(out.matches("(?s).*\"deviceNotificationsSent\":[1-9].*"), out);
    } finally {
      process.destroyForcibly();
    }
  }

  @Test
  void anInterruptedDemonstrationLeavesNothing() throws IOException, InterruptedException {
    Process process = start("demo", "--size=64M");
    try (BufferedReader out = process.inputReader()) {
      assertTrue(out.readLine().contains("serves a new image"));
      ProcessHandle device = process.children().findFirst().orElseThrow();
      JvirtioProcess.interrupt(process);
      assertEquals(1, end(process));
      assertEquals(
          "jvirtio demo: ended by a signal",
          new String(process.getErrorStream().readAllBytes()).strip());
      device.onExit().join();
      assertEmpty();
    } finally {
      process.destroyForcibly();
    }
  }

  @Test
  void anInterruptedCopyLeavesNothing() throws IOException, InterruptedException {
    Path served = Files.createTempDirectory("jvirtio-test-");
    // Large enough that its copy does not end before it is interrupted.
    Path image = ServedDisk.sized(served.resolve("disk.img"), 1L << 40);
    try (ServedDisk disk =
        new ServedDisk(
            served.resolve("s"),
            RawFileBackend.open(RawFileOptions.of(image)),
            BlkOptions.builder().build())) {
      Path target = folder.resolve("out.img");
      Process process = start("copy", "--socket-path=" + disk.path, target.toString());
      try {
        while (process.isAlive() && isEmpty()) {
          Thread.sleep(10);
        }
        JvirtioProcess.interrupt(process);
        assertEquals(1, end(process));
        assertEquals("", new String(process.getInputStream().readAllBytes()));
        String err = new String(process.getErrorStream().readAllBytes());
        assertTrue(err.endsWith("jvirtio copy: ended by a signal\n"), err);
        assertEmpty();
      } finally {
        process.destroyForcibly();
      }
    } finally {
      Files.delete(image);
      Files.deleteIfExists(served);
    }
  }

  private boolean isEmpty() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.findAny().isEmpty();
    }
  }

  @Test
  void aServerThatDiesEndsACopy() throws IOException, InterruptedException {
    Path socket = folder.resolve("s");
    Path image = ServedDisk.sized(folder.resolve("disk.img"), 1L << 40);
    Path target = folder.resolve("out.img");
    Process server = start("blk", "--socket-path=" + socket, "--blk-file=" + image);
    try (BufferedReader log = server.errorReader()) {
      assertTrue(log.readLine().contains("serving"));
      Process copy = start("copy", "--socket-path=" + socket, target.toString());
      try {
        assertTrue(log.readLine().contains("front-end connected"));
        server.destroyForcibly();
        assertEquals(1, end(copy));
        String err = new String(copy.getErrorStream().readAllBytes());
        assertEquals(1, err.lines().count(), err);
        assertTrue(err.startsWith("jvirtio copy: "), err);
        // It may have died before the first request.
        assertTrue(err.contains("its server has ended") || err.contains("closed the con"), err);
        assertTrue(Files.notExists(target), "a partial copy");
      } finally {
        copy.destroyForcibly();
      }
    } finally {
      server.destroyForcibly();
    }
  }
}
