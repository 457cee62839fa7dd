// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class InlineOwnerTest {
  private static final Duration LONG = Duration.ofSeconds(Long.MAX_VALUE);

  private final InlineOwner owner = new InlineOwner();

  /** Works for a number of polls, then is idle. */
  private static class Busy implements EventSource {
    private final int work;
    int polls;
    boolean armed;
    boolean wakes = true;

    Busy(int work) {
      this.work = work;
    }

    @Override
    public boolean poll() {
      assertFalse(armed, "polled while armed");
      return ++polls <= work;
    }

    @Override
    public boolean arm() {
      armed = wakes;
      return wakes;
    }

    @Override
    public void disarm() {
      armed = false;
    }
  }

  @Test
  void runsUntilDoneAndNoFurther() {
    Busy source = new Busy(1000);
    owner.addSource(source);
    assertTrue(owner.runUntil(() -> source.polls == 10, LONG));
    assertEquals(10, source.polls);
    assertTrue(owner.runUntil(() -> true, LONG));
    assertEquals(10, source.polls);
  }

  @Test
  void givesUpAtOnceWhenNothingIsLeftToDo() {
    Busy source = new Busy(5);
    owner.addSource(source);
    assertFalse(owner.runUntil(() -> false, LONG));
    assertEquals(6, source.polls);
    assertTrue(source.armed);
    assertFalse(owner.runUntil(() -> false, LONG));
    assertEquals(7, source.polls);
  }

  @Test
  void theLastRoundMayBringItAbout() {
    Busy source = new Busy(0);
    owner.addSource(source);
    assertTrue(owner.runUntil(() -> source.polls == 1, LONG));
  }

  @Test
  void theDeadlineEndsWhatIsNeverIdle() {
    Busy working = new Busy(Integer.MAX_VALUE);
    owner.addSource(working);
    assertFalse(owner.runUntil(() -> false, Duration.ofMillis(2)));
    owner.removeSource(working);
    Busy sleepless = new Busy(0);
    sleepless.wakes = false;
    owner.addSource(sleepless);
    assertFalse(owner.runUntil(() -> false, Duration.ofMillis(2)));
    int polls = sleepless.polls;
    assertFalse(owner.runUntil(() -> false, Duration.ZERO));
    assertFalse(owner.runUntil(() -> false, Duration.ofSeconds(-1)));
    assertEquals(polls + 2, sleepless.polls);
  }

  @Test
  void aCallbackCannotWaitForItsOwnOwner() {
    int[] refusals = new int[1];
    EventSource source =
        new Busy(0) {
          @Override
          public boolean poll() {
            try {
              owner.runUntil(() -> true, LONG);
            } catch (IllegalStateException e) {
              refusals[0]++;
            }
            return false;
          }
        };
    owner.addSource(source);
    owner.runUntil(() -> false, LONG);
    assertEquals(1, refusals[0]);
    owner.runUntilIdle();
    assertEquals(2, refusals[0]);
    // Outside of a round it is fine again, also in a task, which runs where it is posted.
    owner.removeSource(source);
    boolean[] ran = new boolean[1];
    owner.execute(() -> ran[0] = owner.runUntil(() -> true, LONG));
    assertTrue(ran[0]);
  }

  @Test
  void wakingPollsNothingByItself() {
    Busy source = new Busy(0);
    owner.addSource(source);
    owner.wakeUp();
    assertEquals(0, source.polls);
  }
}
