// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import java.lang.foreign.MemorySegment;

/** Finds zeroes. */
final class Zeros {
  private static final int PIECE = 1 << 16;
  private static final MemorySegment ZEROS = MemorySegment.ofArray(new byte[PIECE]);

  private Zeros() {}

  /** Whether a part of a segment is all zero. */
  static boolean are(MemorySegment data, long from, long to) {
    for (long at = from; at < to; at += PIECE) {
      long end = Math.min(to, at + PIECE);
      if (MemorySegment.mismatch(data, at, end, ZEROS, 0, end - at) != -1) {
        return false;
      }
    }
    return true;
  }

  /**
   * Where the run ends that begins here: of units that are zero, or of units that are not.
   *
   * @param from where a unit begins
   * @param to where the data ends; the last unit may be shorter
   * @param unit bytes
   */
  static long endOfRun(MemorySegment data, long from, long to, long unit) {
    boolean zero = are(data, from, Math.min(to, from + unit));
    long at = from + unit;
    while (at < to && are(data, at, Math.min(to, at + unit)) == zero) {
      at += unit;
    }
    return Math.min(at, to);
  }
}
