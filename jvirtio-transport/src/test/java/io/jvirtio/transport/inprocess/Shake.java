// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import java.util.Random;

/** Pauses of random length, so that two threads meet at ever other points. For one thread. */
final class Shake {
  static final Shake NONE = new Shake(null);

  private static final int LONGEST = 256;

  private final Random random;

  private Shake(Random random) {
    this.random = random;
  }

  static Shake of(long seed) {
    return new Shake(new Random(seed));
  }

  void pause() {
    if (random != null) {
      for (int i = random.nextInt(LONGEST); i > 0; i--) {
        Thread.onSpinWait();
      }
    }
  }
}
