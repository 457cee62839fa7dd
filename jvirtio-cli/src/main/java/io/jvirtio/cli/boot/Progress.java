// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import java.io.PrintWriter;
import java.time.Duration;
import java.util.Locale;

/**
 * Lines for people: what is done, and while something lasts, what and for how long. On a terminal
 * that line is rewritten twice a second; elsewhere there is one every ten seconds. Thread-safe.
 */
final class Progress implements AutoCloseable {
  private static final long REDRAW_MILLIS = 500;
  private static final int QUIET_SECONDS = 10;
  private static final String CLEAR = "\r\033[K";

  private final PrintWriter out;
  private final boolean terminal;
  private final Thread thread;
  private final long started = System.nanoTime();
  private String doing;
  private long since;
  private long told;
  private boolean drawn;

  /**
   * Starts without a line.
   *
   * @param terminal whether lines may be rewritten
   */
  Progress(PrintWriter out, boolean terminal) {
    this.out = out;
    this.terminal = terminal;
    thread = Thread.ofPlatform().daemon().name("progress").start(this::loop);
  }

  private void loop() {
    try {
      while (true) {
        Thread.sleep(REDRAW_MILLIS);
        draw();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private synchronized void draw() {
    if (doing == null) {
      return;
    }
    long seconds = Duration.ofNanos(System.nanoTime() - since).toSeconds();
    if (terminal) {
      out.print(CLEAR + "      … " + doing + ", " + seconds + " s");
      out.flush();
      drawn = true;
    } else if (seconds >= told + QUIET_SECONDS) {
      told = seconds;
      out.println("      … " + doing + ", " + seconds + " s");
      out.flush();
    }
  }

  /** Something begins that may take a while. */
  synchronized void doing(String what) {
    doing = what;
    since = System.nanoTime();
    told = 0;
  }

  /** Something is done: one line with the time since the start. */
  synchronized void done(String what) {
    quiet();
    double seconds = (System.nanoTime() - started) / 1e9;
    out.println(String.format(Locale.ROOT, "%5.1f ", seconds) + what);
    out.flush();
  }

  /** A line as it is. */
  synchronized void line(String text) {
    quiet();
    out.println(text);
    out.flush();
  }

  /** Nothing lasts now. */
  synchronized void quiet() {
    doing = null;
    if (drawn) {
      out.print(CLEAR);
      drawn = false;
    }
  }

  @Override
  public void close() {
    quiet();
    thread.interrupt();
  }
}
