// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import java.io.PrintWriter;
import java.util.Locale;

/**
 * How far a transfer is: a bar that is drawn over on a terminal, a line every few seconds
 * elsewhere. Thread-safe.
 */
final class ProgressBar implements AutoCloseable {
  private static final int WIDTH = 16;
  private static final long REDRAW_MILLIS = 100;
  private static final long QUIET_MILLIS = 5000;
  private static final String CLEAR = "\r\033[K";

  private final PrintWriter out;
  private final boolean terminal;
  private final String what;
  private final long total;
  private final long started = System.nanoTime();
  private final Thread thread;
  private volatile long done;
  private boolean drawn;

  /**
   * Starts at 0.
   *
   * @param terminal whether lines may be drawn over
   * @param what is being done, such as {@code writing}
   * @param total bytes
   */
  ProgressBar(PrintWriter out, boolean terminal, String what, long total) {
    this.out = out;
    this.terminal = terminal;
    this.what = what;
    this.total = total;
    this.thread = Thread.ofPlatform().daemon().name("progress").start(this::loop);
  }

  /** Whether lines on standard error can be drawn over. */
  static boolean isTerminal() {
    return System.console() != null && System.console().isTerminal();
  }

  /** So many bytes are done by now. */
  void done(long bytes) {
    done = bytes;
  }

  /** Nanoseconds since the start. */
  long elapsedNanos() {
    return System.nanoTime() - started;
  }

  private void loop() {
    try {
      while (true) {
        Thread.sleep(terminal ? REDRAW_MILLIS : QUIET_MILLIS);
        draw();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private synchronized void draw() {
    if (Thread.currentThread().isInterrupted()) {
      return;
    }
    String line = line(what, done, total, elapsedNanos());
    if (terminal) {
      out.print(CLEAR + line);
      drawn = true;
    } else {
      out.println(line);
    }
    out.flush();
  }

  /** The line of a bar. */
  static String line(String what, long done, long total, long nanos) {
    double share = total == 0 ? 1 : Math.min(1.0, (double) done / total);
    int full = (int) (share * WIDTH);
    double rate = nanos == 0 ? 0 : done / (nanos / 1e9);
    String left = "";
    if (rate > 0 && done < total) {
      left = String.format(Locale.ROOT, ", %.0f s left", Math.ceil((total - done) / rate));
    }
    return String.format(
        Locale.ROOT,
        "%-10s [%s%s] %3.0f %%  %s of %s, %s/s%s",
        what,
        "#".repeat(full),
        ".".repeat(WIDTH - full),
        Math.floor(share * 100),
        Sizes.text(done),
        Sizes.text(total),
        Sizes.text((long) rate),
        left);
  }

  /** Takes the bar away. */
  @Override
  public void close() {
    thread.interrupt();
    synchronized (this) {
      if (drawn) {
        out.print(CLEAR);
        out.flush();
        drawn = false;
      }
    }
  }
}
