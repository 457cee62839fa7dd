// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Fills a disk with pseudo-random numbers, of which each depends on its place, and reads them back.
 */
final class TestPattern implements Pipeline.Work {
  /** What is done with the disk. */
  enum Kind {
    WRITE,
    VERIFY,
    /** Not the pattern but zeroes are expected. */
    VERIFY_ZEROES
  }

  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;

  private final Kind kind;
  private final long size;
  private final ProgressBar progress;
  private long next;
  private long done;

  /**
   * Nothing done yet.
   *
   * @param size of the disk, a multiple of 512
   */
  TestPattern(Kind kind, long size, ProgressBar progress) {
    this.kind = kind;
    this.size = size;
    this.progress = progress;
  }

  @Override
  public boolean next(Pipeline.Slot slot) {
    if (next == size) {
      return false;
    }
    slot.at = next;
    slot.length = Math.min(slot.buffer.byteSize(), size - next);
    next += slot.length;
    if (kind == Kind.WRITE) {
      fill(slot.buffer, slot.length, slot.at);
      slot.write();
    } else {
      slot.read();
    }
    return true;
  }

  @Override
  public boolean ended(Pipeline.Slot slot) throws CliException {
    long wrong =
        switch (kind) {
          case WRITE -> -1;
          case VERIFY -> firstDifference(slot.buffer, slot.length, slot.at);
          case VERIFY_ZEROES -> Zeros.are(slot.buffer, 0, slot.length) ? -1 : 0;
        };
    if (wrong != -1) {
      throw new CliException(
          "the disk holds something else than was written, at byte " + (slot.at + wrong));
    }
    done += slot.length;
    progress.done(done);
    return false;
  }

  /** The number that stands at this place (the output function of SplitMix64). */
  private static long number(long at) {
    long z = (at >>> 3) * 0x9e37_79b9_7f4a_7c15L;
    z = (z ^ z >>> 30) * 0xbf58_476d_1ce4_e5b9L;
    z = (z ^ z >>> 27) * 0x94d0_49bb_1331_11ebL;
    return z ^ z >>> 31;
  }

  static void fill(MemorySegment data, long length, long at) {
    for (long i = 0; i < length; i += Long.BYTES) {
      data.set(LONG, i, number(at + i));
    }
  }

  static long firstDifference(MemorySegment data, long length, long at) {
    for (long i = 0; i < length; i += Long.BYTES) {
      if (data.get(LONG, i) != number(at + i)) {
        return i;
      }
    }
    return -1;
  }
}
