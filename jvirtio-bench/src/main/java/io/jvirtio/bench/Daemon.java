// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A block back-end process under measurement. It is stopped by a signal whenever another one is
 * measured, so that one that polls takes no processor from the others.
 */
final class Daemon implements AutoCloseable {
  private static final long START_SECONDS = 120;
  private static final Pattern ALLOCATED = Pattern.compile("\\ballocated=([0-9.]+)([BKMGT])");

  private final String name;
  private final Path socket;
  private final boolean java;
  private final Process process;

  private Daemon(String name, Path socket, boolean java, Process process) {
    this.name = name;
    this.socket = socket;
    this.java = java;
    this.process = process;
  }

  /**
   * Starts a process and waits for its socket.
   *
   * @param log where its two output streams go
   * @param java whether the process is (or becomes) a JVM
   * @throws IOException when it cannot be started, or ends, or makes no socket in two minutes
   */
  static Daemon start(String name, List<String> command, Path socket, Path log, boolean java)
      throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    Daemon daemon = new Daemon(name, socket, java, process);
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
    while (!Files.exists(socket)) {
      if (process.waitFor(50, TimeUnit.MILLISECONDS) || System.nanoTime() > deadline) {
        daemon.close();
        throw new IOException(name + " made no socket: " + Files.readString(log).strip());
      }
    }
    return daemon;
  }

  String name() {
    return name;
  }

  Path socket() {
    return socket;
  }

  boolean isJava() {
    return java;
  }

  /** Takes the processor from it. */
  void pause() throws IOException, InterruptedException {
    signal("STOP");
  }

  /** Lets it go on. */
  void resume() throws IOException, InterruptedException {
    signal("CONT");
  }

  private void signal(String signal) throws IOException, InterruptedException {
    if (!process.isAlive()) {
      throw new IOException(name + " has ended by itself with exit code " + process.exitValue());
    }
    Commands.run(List.of("kill", "-" + signal, Long.toString(process.pid())));
  }

  /** A line of /proc/PID/status such as VmRSS, in KiB. */
  long statusKib(String field) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/" + process.pid() + "/status"))) {
      if (line.startsWith(field + ":")) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    throw new IOException("no " + field + " of process " + process.pid());
  }

  /** Processor time so far, in ticks of the kernel (10 ms), user and system. */
  long processorTicks() throws IOException {
    String stat = Files.readString(Path.of("/proc/" + process.pid() + "/stat"));
    // The second field, the name, is in brackets and may hold blanks.
    String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
    return Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
  }

  /** Bytes that all threads of the JVM that live now have allocated since they began. */
  long allocatedBytes() throws IOException, InterruptedException {
    String jcmd = Path.of(System.getProperty("java.home"), "bin", "jcmd").toString();
    String dump = Commands.run(List.of(jcmd, Long.toString(process.pid()), "Thread.print", "-e"));
    double sum = 0;
    for (String line : dump.split("\n")) {
      // Not the threads that answer jcmd itself, nor compilers, which come and go.
      Matcher found = ALLOCATED.matcher(line);
      if (line.startsWith("\"virtio-worker") && found.find()) {
        sum += Double.parseDouble(found.group(1)) * unit(found.group(2).charAt(0));
      }
    }
    return Math.round(sum);
  }

  private static double unit(char letter) {
    return Math.pow(1024, "BKMGT".indexOf(letter));
  }

  /** Ends it, by SIGTERM, or by SIGKILL when that takes longer than ten seconds. */
  @Override
  public void close() {
    try {
      if (process.isAlive()) {
        try {
          resume();
        } catch (IOException e) {
          // It has ended meanwhile; should it not, what follows ends it.
          System.err.println("bench: " + e.getMessage());
        }
      }
      process.destroy();
      if (!process.waitFor(10, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }
}
