// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Main;
import io.jvirtio.cli.RingChoice;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The block device of the demonstration: this program once more, as a process of its own. */
final class DemoServer implements AutoCloseable {
  private static final long START_SECONDS = 60;
  private static final long END_SECONDS = 10;
  private static final String UNNAMED = "ALL-UNNAMED";

  private final Process process;
  private final CompletableFuture<Void> ready = new CompletableFuture<>();
  private final Path output;
  private volatile String lastLine = "it said nothing";

  private DemoServer(Process process, Path output) {
    this.process = process;
    this.output = output;
  }

  /**
   * Starts the device and waits until it can be connected to.
   *
   * @param folder for what it prints
   */
  static DemoServer start(Path folder, Path socket, Path image, String serial, RingChoice rings)
      throws CliException, InterruptedException {
    List<String> command = new ArrayList<>(java());
    command.addAll(
        List.of(
            "blk",
            "--socket-path=" + socket,
            "--blk-file=" + image,
            "--num-queues=1",
            "--serial=" + serial,
            "--one-shot",
            "--print-stats"));
    command.addAll(rings.options());
    Path output = folder.resolve("stats.json");
    DemoServer server;
    try {
      ProcessBuilder builder = new ProcessBuilder(command).redirectOutput(output.toFile());
      server = new DemoServer(builder.start(), output);
    } catch (IOException e) {
      throw new CliException("cannot start the device: " + e.getMessage(), e);
    }
    Thread.ofPlatform().daemon().name("device's log").start(server::follow);
    boolean done = false;
    try {
      server.awaitReady();
      done = true;
      return server;
    } finally {
      if (!done) {
        server.close();
      }
    }
  }

  /** This program, as this process was started: from modules, or in tests from a class path. */
  private static List<String> java() {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-XX:+UseSerialGC", "-Xmx64m", "-XX:-UsePerfData"));
    String cache = System.getProperty("jvirtio.aot", "");
    if (!cache.isEmpty() && Files.isReadable(Path.of(cache))) {
      command.add("-XX:AOTCache=" + cache);
      command.add("-Xlog:disable");
    }
    String modules = System.getProperty("jdk.module.path", "");
    Module module = Main.class.getModule();
    if (module.isNamed() && !modules.isEmpty()) {
      command.add("--enable-native-access=io.jvirtio.linux");
      command.addAll(List.of("-p", modules, "-m", module.getName() + "/" + Main.class.getName()));
    } else {
      command.add("--enable-native-access=" + UNNAMED);
      command.addAll(
          List.of(
              "-cp", System.getProperty("java.class.path") + ":" + modules, Main.class.getName()));
    }
    return command;
  }

  private void follow() {
    try (BufferedReader log = process.errorReader()) {
      for (String line = log.readLine(); line != null; line = log.readLine()) {
        lastLine = line;
        if (line.contains("serving ")) {
          ready.complete(null);
        }
      }
    } catch (IOException | UncheckedIOException e) {
      lastLine = e.getMessage();
    }
    ready.completeExceptionally(new IOException("ended"));
  }

  private void awaitReady() throws CliException, InterruptedException {
    try {
      ready.get(START_SECONDS, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      throw new CliException("the device's process has ended at once: " + lastLine, e);
    } catch (TimeoutException e) {
      throw new CliException("the device's process does not start in " + START_SECONDS + " s", e);
    }
  }

  /** Its process id. */
  long pid() {
    return process.pid();
  }

  /** What it has done, as JSON; waits for its end, which comes when the driver has left. */
  String stats() throws CliException, InterruptedException {
    if (!process.waitFor(END_SECONDS, TimeUnit.SECONDS)) {
      throw new CliException("the device's process does not end, though its driver has left");
    }
    if (process.exitValue() != 0) {
      throw new CliException(
          "the device's process has ended with code " + process.exitValue() + ": " + lastLine);
    }
    try {
      return Files.readString(output).strip();
    } catch (IOException e) {
      throw new CliException("what the device has done cannot be read: " + e.getMessage(), e);
    }
  }

  /** Ends the process, if it has not ended. Any thread. */
  @Override
  public void close() {
    process.destroyForcibly();
  }
}
