// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * Random operations on a driver's queue, with a scripted device and with the real device side on
 * the other end, against a model. A failure names its seed; {@code -Djvirtio.seed=N} runs that one
 * alone.
 */
class DriverModelTest {
  private static final int[] SIZES = {1, 2, 4, 8, 256};
  private static final int STEPS = 3000;

  /** Two thirds are the same in every run, the rest are new. */
  private static final int ROUNDS = 3;

  private long steps;
  private long returned;
  private long lies;
  private long resets;

  @Test
  void queueAndModelAgree() {
    Long one = Long.getLong("jvirtio.seed");
    if (one != null) {
      session(one);
      return;
    }
    int kinds = DriverSession.splitAnyOrder().size() * SIZES.length * 2;
    long fresh = new Random().nextLong() / kinds * kinds;
    for (int round = 0; round < ROUNDS; round++) {
      for (int kind = 0; kind < kinds; kind++) {
        session((round == ROUNDS - 1 ? fresh : round * kinds) + kind);
      }
    }
    // The generator really reaches what it is for.
    assertEquals((long) ROUNDS * kinds * STEPS, steps);
    assertTrue(returned > steps / 10, returned + " buffers came back in " + steps + " steps");
    assertTrue(lies > 500, lies + " lies");
    assertTrue(resets > 1000, resets + " resets");
  }

  /** The seed also names the kind of queue. */
  private void session(long seed) {
    List<DriverSession> sessions = DriverSession.splitAnyOrder();
    int kind = (int) Math.floorMod(seed, (long) sessions.size() * SIZES.length * 2);
    DriverSession session = sessions.get(kind % sessions.size());
    int size = SIZES[kind / sessions.size() % SIZES.length];
    boolean real = kind / sessions.size() / SIZES.length == 1;
    String name = "jvirtio.seed=" + seed + ", " + session + " of " + size + ", real: " + real;
    try (DriverModel model = new DriverModel(new Random(seed), session, size, real)) {
      for (int step = 0; step < STEPS; step++) {
        try {
          model.step();
        } catch (Exception | AssertionError e) {
          throw new AssertionError(name + ", step " + step, e);
        }
        steps++;
      }
      returned += model.returned;
      lies += model.lies;
      resets += model.resets;
    }
  }
}
