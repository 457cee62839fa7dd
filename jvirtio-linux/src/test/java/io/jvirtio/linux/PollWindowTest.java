// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class PollWindowTest {
  private static final long LIMIT = 50_000;

  private static void miss(PollWindow window, int times) {
    for (int i = 0; i < times; i++) {
      window.miss();
    }
  }

  @Test
  void closesAfterMissesInARow() {
    PollWindow window = new PollWindow(LIMIT);
    miss(window, PollWindow.MISSES - 1);
    assertEquals(LIMIT, window.length());
    window.hit();
    miss(window, PollWindow.MISSES - 1);
    assertEquals(LIMIT, window.length());
    window.miss();
    assertEquals(0, window.length());
  }

  @Test
  void opensAgainUpToItsLimitWhenSleepsAreShort() {
    PollWindow window = new PollWindow(LIMIT);
    miss(window, PollWindow.MISSES);
    window.slept(LIMIT);
    assertEquals(0, window.length());
    window.slept(LIMIT - 1);
    assertEquals(LIMIT / 8, window.length());
    window.slept(1);
    assertEquals(LIMIT / 4, window.length());
    for (int i = 0; i < 10; i++) {
      window.slept(1);
    }
    assertEquals(LIMIT, window.length());
  }

  @Test
  void withoutALimitItStaysClosed() {
    PollWindow window = new PollWindow(0);
    window.slept(0);
    assertEquals(0, window.length());
  }
}
