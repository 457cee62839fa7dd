// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Random steps on both sides of a queue, in every format and with every feature, against {@link
 * RingModel}. A failure names its seed and the fewest steps that were found to fail; {@code
 * -Djvirtio.seed=N} runs that seed alone.
 */
class RingModelTest {
  private static final int[] SIZES = {1, 2, 3, 7, 8, 256, 32768};
  private static final int STEPS = 4000;
  private static final int RUNS = 4;

  static List<RingModel.Setup> setups() {
    List<RingModel.Setup> all = new ArrayList<>();
    for (int bits = 0; bits < 16; bits++) {
      for (int size : SIZES) {
        boolean packed = (bits & 1) != 0;
        if (packed || Integer.bitCount(size) == 1) {
          all.add(
              new RingModel.Setup(packed, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, size));
        }
      }
    }
    return all;
  }

  @ParameterizedTest
  @MethodSource("setups")
  void queuesAndModelAgree(RingModel.Setup setup) {
    Long one = Long.getLong("jvirtio.seed");
    long fresh = new Random().nextLong();
    for (int run = 0; run < (one == null ? RUNS : 1); run++) {
      // Half of them are the same in every run, the rest are new.
      long seed = one != null ? one : run % 2 == 0 ? run : fresh + run;
      int[] steps = new Random(seed).ints(STEPS, 0, 1 << 16).toArray();
      String failure = failure(setup, steps);
      if (failure != null) {
        int[] few = shrink(setup, steps);
        throw new AssertionError(
            setup
                + ", seed "
                + seed
                + ": "
                + failure
                + "; shrunk to "
                + Arrays.toString(few)
                + ": "
                + failure(setup, few));
      }
    }
  }

  private static String failure(RingModel.Setup setup, int[] steps) {
    try (RingModel model = new RingModel(setup)) {
      for (int i = 0; i < steps.length; i++) {
        try {
          model.step(steps[i]);
        } catch (AssertionError | RuntimeException e) {
          return "step " + i + ": " + e;
        }
      }
      try {
        model.drain();
      } catch (AssertionError | RuntimeException e) {
        return "at the end: " + e;
      }
    }
    return null;
  }

  /** Leaves out parts of the steps for as long as the rest still fails. */
  private static int[] shrink(RingModel.Setup setup, int[] steps) {
    int[] best = steps;
    for (int part = steps.length / 2; part > 0; part = part == 1 ? 0 : (part + 1) / 2) {
      for (int from = 0; from < best.length; ) {
        int to = Math.min(best.length, from + part);
        int[] fewer = new int[best.length - (to - from)];
        System.arraycopy(best, 0, fewer, 0, from);
        System.arraycopy(best, to, fewer, from, best.length - to);
        if (failure(setup, fewer) != null) {
          best = fewer;
        } else {
          from = to;
        }
      }
    }
    return best;
  }
}
