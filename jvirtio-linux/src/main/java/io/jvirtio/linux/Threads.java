// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.time.Duration;

/** What the classes with threads of their own have in common. */
final class Threads {
  private Threads() {}

  /**
   * Waits for a thread to end, also when interrupted, which is noted again afterwards.
   *
   * @return whether it has ended
   */
  static boolean join(Thread thread, Duration timeout) {
    long end = System.nanoTime() + timeout.toNanos();
    boolean interrupted = false;
    boolean over = false;
    while (thread.isAlive() && !over) {
      try {
        over = !thread.join(Duration.ofNanos(Math.max(0, end - System.nanoTime())));
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    return !thread.isAlive();
  }
}
