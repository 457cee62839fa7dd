// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** Waits for what another thread does, and fails when it never comes. */
final class Await {
  private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(20);

  private Await() {}

  static void until(String what, Callable<Boolean> condition) {
    long start = System.nanoTime();
    try {
      while (!condition.call()) {
        if (System.nanoTime() - start > PATIENCE_NANOS) {
          throw new AssertionError("never happened: " + what);
        }
        Thread.sleep(1);
      }
    } catch (Exception e) {
      throw new AssertionError("while waiting: " + what, e);
    }
  }

  /** What the open descriptors of this process refer to, sorted, without what the JVM loads. */
  static List<String> descriptors() throws IOException {
    List<String> targets = new ArrayList<>();
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
      for (Path entry : entries) {
        try {
          String target = Files.readSymbolicLink(entry).toString();
          if (!target.matches(".*([.]jar|[.]jfr|[.]class|/fd)")) {
            targets.add(target);
          }
        } catch (NoSuchFileException closedMeanwhile) {
          // It is not open any more.
        }
      }
    }
    targets.sort(null);
    return targets;
  }

  /** The descriptors are again those that were open before; owners close some of them later. */
  static void descriptors(List<String> before) throws IOException {
    long start = System.nanoTime();
    List<String> now = descriptors();
    while (!now.equals(before)) {
      if (System.nanoTime() - start > PATIENCE_NANOS) {
        throw new AssertionError("descriptors before " + before + ", now " + now);
      }
      Thread.onSpinWait();
      now = descriptors();
    }
  }
}
