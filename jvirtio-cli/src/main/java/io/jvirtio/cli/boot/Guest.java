// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A QEMU that runs, and what its guest says on the serial console. One thread reads it. */
final class Guest implements AutoCloseable {
  private static final String MARK = "@jv ";
  private static final int KEPT_LINES = 15;

  private final Process process;
  private final BlockingQueue<String> marks = new LinkedBlockingQueue<>();
  private final Deque<String> lines = new ArrayDeque<>();

  private Guest(Process process) {
    this.process = process;
  }

  /** Starts one whose console is read here. */
  static Guest start(List<String> command) throws CliException {
    ProcessBuilder builder = Programs.builder(command).redirectErrorStream(true);
    Guest guest = new Guest(Programs.start(builder));
    Thread.ofPlatform().daemon().name("guest-console").start(guest::read);
    return guest;
  }

  /** Starts one whose console is this terminal. */
  static Guest startInteractive(List<String> command) throws CliException {
    ProcessBuilder builder = Programs.builder(command).inheritIO();
    return new Guest(Programs.start(builder));
  }

  private void read() {
    try (BufferedReader in =
        new BufferedReader(
            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        keep(line);
        int mark = line.indexOf(MARK);
        if (mark >= 0) {
          marks.add(line.substring(mark + MARK.length()).strip());
        }
      }
    } catch (IOException e) {
      keep("(the console cannot be read: " + e.getMessage() + ")");
    }
    // The end.
    marks.add("");
  }

  private void keep(String line) {
    // Firmware moves the cursor about.
    String text = line.replaceAll("\033\\[[0-9;?]*[a-zA-Z]|\033c|\\p{Cntrl}", "").strip();
    if (text.isEmpty()) {
      return;
    }
    synchronized (lines) {
      lines.add(text);
      if (lines.size() > KEPT_LINES) {
        lines.remove();
      }
    }
  }

  /**
   * The next thing that the guest tells.
   *
   * @param what it is to do, for the message when it does not
   * @return words, the first of which says what it is; empty at the end
   * @throws CliException when the deadline is over, or the guest tells a failure
   */
  String[] next(String what, Duration deadline) throws CliException, InterruptedException {
    String line = marks.poll(deadline.toMillis(), TimeUnit.MILLISECONDS);
    if (line == null) {
      throw new CliException(
          "the guest did not get to: " + what + ", within " + Programs.seconds(deadline));
    }
    if (line.startsWith("failed ")) {
      throw new CliException("the guest failed: " + line.substring("failed ".length()));
    }
    return line.isEmpty() ? new String[0] : line.split(" ");
  }

  /**
   * The next thing, which must be this one.
   *
   * @return the words behind its name
   */
  String[] expect(String name, String what, Duration deadline)
      throws CliException, InterruptedException {
    String[] words = next(what, deadline);
    if (words.length == 0) {
      throw new CliException("QEMU ended before the guest got to: " + what);
    }
    if (!words[0].equals(name)) {
      throw new CliException(
          "the guest told '" + String.join(" ", words) + "' where it was to get to: " + what);
    }
    return List.of(words).subList(1, words.length).toArray(String[]::new);
  }

  /**
   * Waits for the end of QEMU.
   *
   * @throws CliException when it does not end, or with a failure
   */
  void awaitEnd(Duration deadline) throws CliException, InterruptedException {
    if (!process.waitFor(deadline.toMillis(), TimeUnit.MILLISECONDS)) {
      throw new CliException("the guest has not ended within " + Programs.seconds(deadline));
    }
    if (process.exitValue() != 0) {
      throw new CliException("QEMU ended with exit code " + process.exitValue());
    }
  }

  /** Waits for the end of QEMU, however long its user takes. */
  int awaitEnd() throws InterruptedException {
    return process.waitFor();
  }

  /** The last lines of the console and of QEMU itself. */
  List<String> lastLines() {
    synchronized (lines) {
      return List.copyOf(lines);
    }
  }

  /** Ends QEMU, if it has not ended. Any thread. */
  @Override
  public void close() {
    Programs.end(process);
  }
}
