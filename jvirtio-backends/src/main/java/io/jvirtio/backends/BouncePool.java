// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import java.lang.foreign.Arena;

/** The bounce buffers of one channel: a bounded number, made when first needed. Thread-safe. */
final class BouncePool implements AutoCloseable {
  /** Of 128 KiB each. A request that finds none waits for one. */
  static final int MAX = 8;

  private final Arena arena = Arena.ofShared();
  private final Bounce[] free = new Bounce[MAX];
  private int freeCount;
  private int made;

  /** A buffer, or null when all are in use. */
  synchronized Bounce take() {
    if (freeCount > 0) {
      return free[--freeCount];
    }
    if (made == MAX) {
      return null;
    }
    made++;
    return new Bounce(arena);
  }

  synchronized void give(Bounce bounce) {
    free[freeCount++] = bounce;
  }

  /** Frees the memory; every buffer was given back. */
  @Override
  public void close() {
    arena.close();
  }
}
