// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A program that others wrote, or a command of ours, as a process. Ended by its handle. */
final class Peer implements AutoCloseable {
  private static final int DEADLINE_SECONDS = 60;

  private final Process process;
  private final Path log;

  /** Starts it; what it prints goes to a file in the folder. */
  private Peer(Path folder, List<String> command) throws IOException {
    log = Files.createTempFile(folder, "peer", ".log");
    process =
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
  }

  /**
   * Starts a program and waits until it has made a file.
   *
   * @param ready what it makes when it listens
   */
  static Peer start(Path folder, Path ready, String... command)
      throws IOException, InterruptedException {
    // What an earlier one has left there says nothing.
    Files.deleteIfExists(ready);
    Peer peer = new Peer(folder, List.of(command));
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    while (!Files.exists(ready)) {
      if (!peer.process.isAlive() || System.nanoTime() > deadline) {
        peer.close();
        throw new AssertionError(String.join(" ", command) + " does not listen:\n" + peer.output());
      }
      Thread.sleep(5);
    }
    return peer;
  }

  /** Sends it a signal, by the name that kill knows. */
  void signal(String name) throws IOException, InterruptedException {
    Host.run("kill", "-s", name, String.valueOf(process.pid()));
  }

  /** Ends it at once by SIGKILL, also when it is stopped, and waits until it is gone. */
  void kill() {
    process.destroyForcibly();
    process.onExit().join();
  }

  /** Asks it to end by SIGTERM, and waits until it has. */
  void terminate() throws IOException, InterruptedException {
    process.destroy();
    if (!process.waitFor(DEADLINE_SECONDS, TimeUnit.SECONDS)) {
      throw new AssertionError("the peer does not end:\n" + output());
    }
  }

  /** What it has printed. */
  String output() throws IOException {
    return Files.readString(log, StandardCharsets.ISO_8859_1);
  }

  @Override
  public void close() {
    kill();
  }
}
