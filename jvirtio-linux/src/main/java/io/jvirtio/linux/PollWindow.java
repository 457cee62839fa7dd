// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/**
 * How long an adaptive loop polls before it sleeps.
 *
 * <p>The window closes when it brought nothing several times in a row, and opens again, doubling up
 * to its limit, when a sleep turned out so short that polling would have spared it. Pure
 * arithmetic, without a clock; not thread-safe.
 */
final class PollWindow {
  /** So many windows in a row that brought nothing close the window. */
  static final int MISSES = 4;

  private static final int FIRST_PART = 8;

  private final long limit;
  private long length;
  private int misses;

  /** A window that is open up to its limit in nanoseconds, 0 or more. */
  PollWindow(long limit) {
    this.limit = limit;
    this.length = limit;
  }

  /** Nanoseconds to poll after the last work. */
  long length() {
    return length;
  }

  /** Work came while the loop polled. */
  void hit() {
    misses = 0;
  }

  /** The window is over and brought nothing. */
  void miss() {
    if (++misses >= MISSES) {
      misses = 0;
      length = 0;
    }
  }

  /** A sleep is over that took so many nanoseconds. */
  void slept(long nanos) {
    if (nanos < limit) {
      length = length == 0 ? Math.max(1, limit / FIRST_PART) : Math.min(limit, length * 2);
    }
  }
}
