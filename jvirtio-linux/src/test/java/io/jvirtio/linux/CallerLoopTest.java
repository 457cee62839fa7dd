// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.LoopHarness.Counting;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** An event loop that the thread which made it runs by itself. */
@Timeout(120)
class CallerLoopTest {
  private static final Duration LONG = LoopHarness.DEADLINE;
  private static final Duration SHORT = Duration.ofMillis(3);

  private final List<Throwable> faults = new ArrayList<>();
  private OpenFds before;

  @BeforeEach
  void count() throws IOException {
    before = OpenFds.now();
  }

  @AfterEach
  void nothingLeaks() throws IOException {
    before.assertUnchanged();
    assertEquals(List.of(), faults);
  }

  private EventLoop loop(LoopMode mode) throws LinuxException {
    return EventLoop.onCaller(
        mode, EventLoop.DEFAULT_POLL_WINDOW, (source, fault) -> faults.add(fault));
  }

  private static <T> FutureTask<T> elsewhere(Callable<T> body) {
    FutureTask<T> task = new FutureTask<>(body);
    Thread.ofPlatform().daemon().start(task);
    return task;
  }

  private static <T> T result(FutureTask<T> task) throws Exception {
    return task.get(30, TimeUnit.SECONDS);
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void aTurnDoesWhatThereIsAndSaysSo(LoopMode mode) throws Exception {
    try (EventLoop loop = loop(mode)) {
      assertTrue(loop.isOwner());
      assertSame(Thread.currentThread(), loop.thread());
      Counting source = new Counting();
      loop.addSource(source);
      assertFalse(loop.turn(Duration.ZERO));
      assertFalse(loop.turn(Duration.ofSeconds(Long.MIN_VALUE)));
      assertEquals(2, source.polls);
      assertEquals(0, source.arms);
      List<Integer> order = new ArrayList<>();
      loop.execute(() -> order.add(1));
      loop.execute(() -> order.add(2));
      assertEquals(List.of(), order);
      assertTrue(loop.turn(LONG));
      assertEquals(List.of(1, 2), order);
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void aTurnThatFindsNothingEndsWithItsTime(LoopMode mode) throws Exception {
    try (EventLoop loop = loop(mode)) {
      Counting source = new Counting();
      loop.addSource(source);
      long start = System.nanoTime();
      assertFalse(loop.turn(SHORT));
      assertTrue(System.nanoTime() - start >= SHORT.toNanos());
      // Who is held up until the time is over does not sleep any more.
      while (mode != LoopMode.POLL && source.arms == 0) {
        assertFalse(loop.turn(SHORT));
      }
      assertEquals(source.arms, source.disarms);
      assertEquals(mode != LoopMode.POLL, source.arms > 0);
      loop.removeSource(source);
      assertFalse(loop.turn(SHORT));
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void runsUntilDoneOrOver(LoopMode mode) throws Exception {
    try (EventLoop loop = loop(mode)) {
      Counting source = new Counting();
      assertTrue(loop.runUntil(() -> true, Duration.ZERO));
      loop.addSource(source);
      assertTrue(loop.runUntil(() -> true, LONG));
      assertEquals(0, source.polls);
      assertFalse(loop.runUntil(() -> false, Duration.ZERO));
      assertEquals(1, source.polls);
      assertEquals(0, source.arms);
      assertTrue(loop.runUntil(() -> source.polls == 2, Duration.ZERO));
      assertFalse(loop.runUntil(() -> false, SHORT));
      assertEquals(source.arms, source.disarms);
    }
  }

  @Test
  void theDeadlineEndsAlsoALoopThatIsNeverIdle() throws Exception {
    try (EventLoop loop = loop(LoopMode.EVENT)) {
      loop.addSource(
          new Counting() {
            @Override
            public boolean poll() {
              return true;
            }
          });
      assertFalse(loop.runUntil(() -> false, SHORT));
    }
  }

  @Test
  void theLastTurnFindsWhatCameDuringTheSleep() throws Exception {
    try (EventLoop loop = loop(LoopMode.EVENT)) {
      // What becomes visible with the sleep, and tells nobody.
      Counting source =
          new Counting() {
            @Override
            public boolean poll() {
              super.poll();
              return arms > 0;
            }
          };
      loop.addSource(source);
      boolean worked = false;
      while (source.arms == 0) {
        worked = loop.turn(SHORT);
      }
      assertTrue(worked);
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void tasksAndCallsOfOtherThreadsEndTheSleep(LoopMode mode) throws Exception {
    try (EventLoop loop = loop(mode)) {
      AtomicInteger ran = new AtomicInteger();
      FutureTask<Integer> other =
          elsewhere(
              () -> {
                loop.execute(ran::incrementAndGet);
                assertFalse(loop.isOwner());
                return loop.call(ran::incrementAndGet, LONG);
              });
      assertTrue(loop.runUntil(() -> ran.get() == 2, LONG));
      assertEquals(2, result(other));
      assertEquals(3, loop.call(ran::incrementAndGet, LONG));
    }
  }

  @Test
  void wakingAndWatchingEndTheSleep() throws Exception {
    try (EventLoop loop = loop(LoopMode.EVENT);
        EventFd kick = EventFd.create()) {
      AtomicInteger work = new AtomicInteger();
      AtomicInteger sleeps = new AtomicInteger();
      loop.addSource(
          new Counting() {
            @Override
            public boolean poll() {
              return work.getAndSet(0) > 0;
            }

            @Override
            public boolean arm() {
              sleeps.incrementAndGet();
              return work.get() == 0;
            }
          });
      loop.watch(kick.fd().value());
      for (int i = 0; i < 100; i++) {
        boolean byKick = i % 2 == 0;
        int seen = sleeps.get();
        FutureTask<Void> other =
            elsewhere(
                () -> {
                  while (sleeps.get() == seen) {
                    Thread.onSpinWait();
                  }
                  work.set(1);
                  if (byKick) {
                    kick.signal();
                  } else {
                    loop.wakeUp();
                  }
                  return null;
                });
        assertTrue(loop.turn(LONG), "turn " + i);
        result(other);
      }
      loop.unwatch(kick.fd().value());
    }
  }

  @Test
  void whoStaysAwayLosesNothing() throws Exception {
    try (EventLoop loop = loop(LoopMode.EVENT);
        EventFd kick = EventFd.create()) {
      AtomicBoolean armed = new AtomicBoolean();
      AtomicInteger left = new AtomicInteger();
      Counting source =
          new Counting() {
            @Override
            public boolean poll() {
              return left.getAndSet(0) > 0;
            }

            @Override
            public boolean arm() {
              armed.set(true);
              return left.get() == 0;
            }

            @Override
            public void disarm() {
              armed.set(false);
            }
          };
      loop.addSource(source);
      loop.watch(kick.fd().value());
      assertFalse(loop.turn(SHORT));
      // A peer that keeps to what it is asked for: between turns it need not notify.
      result(
          elsewhere(
              () -> {
                assertFalse(armed.get());
                left.set(1);
                return null;
              }));
      assertTrue(loop.turn(LONG));
      assertEquals(0, left.get());
      loop.unwatch(kick.fd().value());
    }
  }

  @Test
  void aCallbackCannotTurnTheLoop() throws Exception {
    try (EventLoop loop = loop(LoopMode.EVENT)) {
      AtomicInteger refused = new AtomicInteger();
      loop.execute(
          () -> {
            assertThrows(IllegalStateException.class, () -> loop.turn(LONG));
            assertThrows(IllegalStateException.class, () -> loop.runUntil(() -> true, LONG));
            refused.incrementAndGet();
          });
      assertTrue(loop.runUntil(() -> refused.get() == 1, LONG));
      assertTrue(loop.runUntil(() -> true, LONG));
    }
  }

  @Test
  void onlyTheOwnerTurnsAndCloses() throws Exception {
    try (EventLoop loop = loop(LoopMode.EVENT)) {
      result(
          elsewhere(
              () -> {
                assertThrows(IllegalStateException.class, () -> loop.turn(LONG));
                assertThrows(IllegalStateException.class, () -> loop.runUntil(() -> true, LONG));
                assertThrows(IllegalStateException.class, () -> loop.addSource(new Counting()));
                assertThrows(IllegalStateException.class, loop::close);
                return null;
              }));
      assertFalse(loop.turn(Duration.ZERO));
    }
  }

  @Test
  void aLoopWithAThreadIsNotTurnedByOthers() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      EventLoop loop = harness.loop;
      assertThrows(IllegalStateException.class, () -> loop.turn(LONG));
      assertThrows(IllegalStateException.class, () -> loop.runUntil(() -> true, LONG));
      ExecutionException e =
          assertThrows(
              ExecutionException.class, () -> harness.call(() -> loop.runUntil(() -> true, LONG)));
      assertInstanceOf(IllegalStateException.class, e.getCause());
      e = assertThrows(ExecutionException.class, () -> harness.call(() -> loop.turn(LONG)));
      assertInstanceOf(IllegalStateException.class, e.getCause());
    }
  }

  @Test
  void closeRunsWhatIsLeftThenRefuses() throws Exception {
    EventLoop loop = loop(LoopMode.EVENT);
    AtomicInteger ran = new AtomicInteger();
    for (int i = 0; i < 1000; i++) {
      loop.execute(ran::incrementAndGet);
    }
    loop.execute(
        () -> {
          loop.close();
          loop.execute(ran::incrementAndGet);
          assertThrows(IllegalStateException.class, () -> loop.turn(LONG));
        });
    loop.close();
    loop.close();
    assertEquals(1001, ran.get());
    assertThrows(RejectedExecutionException.class, () -> loop.execute(() -> {}));
    result(
        elsewhere(
            () -> assertThrows(RejectedExecutionException.class, () -> loop.execute(() -> {}))));
    assertThrows(IllegalStateException.class, () -> loop.turn(Duration.ZERO));
    assertThrows(IllegalStateException.class, () -> loop.runUntil(() -> true, LONG));
    loop.wakeUp();
  }

  @Test
  void aCallbackThatClosesEndsTheWait() throws Exception {
    EventLoop loop = loop(LoopMode.EVENT);
    AtomicBoolean after = new AtomicBoolean();
    loop.addSource(
        new Counting() {
          @Override
          public boolean poll() {
            loop.close();
            loop.execute(() -> after.set(true));
            return false;
          }
        });
    assertFalse(loop.runUntil(() -> false, LONG));
    assertTrue(after.get());
    assertThrows(IllegalStateException.class, () -> loop.turn(LONG));
  }

  @Test
  void whatASourceThrowsGoesToTheHandler() throws Exception {
    IllegalStateException fault = new IllegalStateException("source");
    try (EventLoop loop = loop(LoopMode.EVENT)) {
      loop.addSource(
          new Counting() {
            @Override
            public boolean poll() {
              throw fault;
            }
          });
      assertFalse(loop.turn(Duration.ZERO));
    }
    assertEquals(List.of(fault), faults);
    faults.clear();
  }

  @Test
  void whatTheConditionThrowsGoesToTheCaller() throws Exception {
    try (EventLoop loop = loop(LoopMode.EVENT)) {
      assertThrows(
          UnsupportedOperationException.class,
          () ->
              loop.runUntil(
                  () -> {
                    throw new UnsupportedOperationException();
                  },
                  LONG));
      assertTrue(loop.runUntil(() -> true, LONG));
    }
  }
}
