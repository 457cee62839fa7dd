// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * {@code ./jvirtio blk} or {@code pci blk} as a user starts it. Ended by its process id when
 * closed.
 */
final class Daemon implements AutoCloseable {
  private static final int DEADLINE_SECONDS = 60;

  private final Process process;
  private final Path log;

  /** Starts {@code ./jvirtio blk} and waits until it listens. */
  Daemon(Path image, Path socket, String... options) throws IOException, InterruptedException {
    this(List.of("blk"), image, socket, options);
  }

  /** Starts another command, such as "pci", "blk". */
  Daemon(List<String> name, Path image, Path socket, String... options)
      throws IOException, InterruptedException {
    log = Files.createTempFile(image.getParent(), "daemon", ".log");
    List<String> command = new ArrayList<>();
    command.add(Lab.home().resolve("jvirtio").toString());
    command.addAll(name);
    command.addAll(List.of("--socket-path=" + socket, "--blk-file=" + image));
    command.addAll(List.of(options));
    process =
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    while (!Files.exists(socket)) {
      if (!process.isAlive() || System.nanoTime() > deadline) {
        close();
        throw new AssertionError("the daemon does not listen:\n" + output());
      }
      Thread.sleep(20);
    }
  }

  /** Sends it a signal, by the name that kill knows. */
  void signal(String name) throws IOException, InterruptedException {
    Host.run("kill", "-s", name, String.valueOf(process.pid()));
  }

  /** Asks it to end, and returns its exit code. */
  int terminate() throws IOException, InterruptedException {
    signal("TERM");
    if (!process.waitFor(DEADLINE_SECONDS, TimeUnit.SECONDS)) {
      throw new AssertionError("the daemon does not end:\n" + output());
    }
    return process.exitValue();
  }

  /** Ends it at once, as a crash would. */
  void kill() {
    process.destroyForcibly();
    process.onExit().join();
  }

  private String output() throws IOException {
    return Files.readString(log, StandardCharsets.UTF_8);
  }

  @Override
  public void close() {
    kill();
  }
}
