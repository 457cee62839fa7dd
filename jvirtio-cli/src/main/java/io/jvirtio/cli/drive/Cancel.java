// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Signals;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * SIGINT and SIGTERM as a wish to end: the first lets the command clean up, the second ends the
 * process after the clean-up that cannot wait.
 */
final class Cancel {
  private static final int EXIT = 1;

  private final Deque<Runnable> wakeUps = new ArrayDeque<>();
  private final Deque<Runnable> lastResorts = new ArrayDeque<>();
  private volatile boolean asked;

  /** Catches the signals from now on. */
  Cancel() {
    Signals.handle("INT", this::ask);
    Signals.handle("TERM", this::ask);
  }

  /** Whether the user wants an end. Any thread. */
  boolean isAsked() {
    return asked;
  }

  /** Runs this when the user wants an end; at once if that was before. */
  void onAsked(Runnable wakeUp) {
    synchronized (this) {
      wakeUps.add(wakeUp);
    }
    if (asked) {
      wakeUp.run();
    }
  }

  /** Runs this, the last first, when the user does not wait for the clean-up. */
  synchronized void lastResort(Runnable cleanUp) {
    lastResorts.push(cleanUp);
  }

  /**
   * Ends the command here if the user wants that.
   *
   * @throws CliException if so
   */
  void check() throws CliException {
    if (asked) {
      throw new CliException("ended by a signal");
    }
  }

  private synchronized void ask() {
    if (asked) {
      lastResorts.forEach(Runnable::run);
      Runtime.getRuntime().halt(EXIT);
    }
    asked = true;
    wakeUps.forEach(Runnable::run);
  }
}
