// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.LoopHarness.Counting;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** No wake-up is lost, whatever the moment: a lost one makes a test run into its deadline. */
@Timeout(300)
class EventLoopStressTest {
  private static final int PRODUCERS = 4;

  private static void inParallel(int threads, Runnable body) throws InterruptedException {
    List<Thread> started = new ArrayList<>();
    for (int i = 0; i < threads; i++) {
      started.add(Thread.ofPlatform().daemon().start(body));
    }
    for (Thread thread : started) {
      assertTrue(thread.join(LoopHarness.DEADLINE), "a producer hangs");
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void everyTaskOfManyThreadsRuns(LoopMode mode) throws Exception {
    int each = 50_000;
    CountDownLatch ran = new CountDownLatch(PRODUCERS * each);
    try (LoopHarness harness = new LoopHarness(mode)) {
      harness.add(new Counting());
      inParallel(
          PRODUCERS,
          () -> {
            for (int i = 0; i < each; i++) {
              harness.loop.execute(ran::countDown);
            }
          });
      LoopHarness.await(ran);
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void everyTaskOfALoneThreadFindsTheLoopAwakeOrWakesIt(LoopMode mode) throws Exception {
    try (LoopHarness harness = new LoopHarness(mode)) {
      harness.add(new Counting());
      int sum = 0;
      for (int i = 0; i < 20_000; i++) {
        sum += harness.call(() -> 1);
      }
      assertEquals(20_000, sum);
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void workLeftForASourceIsFoundAfterAWakeUp(LoopMode mode) throws Exception {
    AtomicLong made = new AtomicLong();
    AtomicLong taken = new AtomicLong();
    try (LoopHarness harness = new LoopHarness(mode)) {
      harness.add(
          new Counting() {
            @Override
            public boolean poll() {
              long now = made.get();
              return taken.getAndSet(now) != now;
            }

            @Override
            public boolean arm() {
              return made.get() == taken.get();
            }
          });
      inParallel(
          PRODUCERS,
          () -> {
            for (int i = 0; i < 10_000; i++) {
              long mine = made.incrementAndGet();
              harness.loop.wakeUp();
              while (i % 4 == 0 && taken.get() < mine) {
                Thread.onSpinWait();
              }
            }
          });
      // Nobody wakes the loop from here on: what it has not found by then, it has lost.
      long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
      while (taken.get() < PRODUCERS * 10_000 && System.nanoTime() < deadline) {
        Thread.onSpinWait();
      }
      assertEquals(PRODUCERS * 10_000, taken.get());
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void everyKickOfAWatchedDescriptorWakesThoughNobodyReadsIt(LoopMode mode) throws Exception {
    AtomicInteger kicks = new AtomicInteger();
    AtomicInteger seen = new AtomicInteger();
    try (LoopHarness harness = new LoopHarness(mode);
        EventFd kick = EventFd.create()) {
      // Like a ring: the peer publishes, then kicks; the owner only looks at what is published.
      harness.add(
          new Counting() {
            @Override
            public boolean poll() {
              int now = kicks.get();
              return seen.getAndSet(now) != now;
            }

            @Override
            public boolean arm() {
              return kicks.get() == seen.get();
            }
          });
      harness.run(() -> harness.loop.watch(kick.fd().value()));
      inParallel(
          1,
          () -> {
            try {
              for (int i = 1; i <= 20_000; i++) {
                kicks.set(i);
                kick.signal();
                while (seen.get() < i) {
                  Thread.onSpinWait();
                }
              }
            } catch (LinuxException e) {
              throw new AssertionError(e);
            }
          });
      assertEquals(20_000, seen.get());
      harness.run(() -> harness.loop.unwatch(kick.fd().value()));
      assertEquals(20_000, kick.drain());
    }
  }

  @Test
  void aTaskThatRacesWithCloseRunsOrIsRefused() throws Exception {
    for (int round = 0; round < 300; round++) {
      AtomicInteger accepted = new AtomicInteger();
      AtomicInteger ran = new AtomicInteger();
      EventLoop loop = EventLoop.start("racing", LoopMode.EVENT, (source, fault) -> {});
      Thread producer =
          Thread.ofPlatform()
              .daemon()
              .start(
                  () -> {
                    try {
                      for (int i = 0; i < 100_000; i++) {
                        loop.execute(ran::incrementAndGet);
                        accepted.incrementAndGet();
                      }
                    } catch (RejectedExecutionException e) {
                      Thread.onSpinWait(); // What close is expected to do.
                    }
                  });
      while (ran.get() < round % 50) {
        Thread.onSpinWait();
      }
      loop.close();
      assertTrue(producer.join(LoopHarness.DEADLINE));
      assertEquals(accepted.get(), ran.get());
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void anIterationAllocatesNothing(LoopMode mode) throws Exception {
    int rounds = 200_000;
    try (LoopHarness harness = new LoopHarness(mode)) {
      CountDownLatch measured = new CountDownLatch(1);
      AtomicLong bytes = new AtomicLong(Long.MAX_VALUE);
      Allocations allocations = new Allocations();
      harness.add(
          new Counting() {
            private long start;

            @Override
            public boolean poll() {
              super.poll();
              if (polls == rounds) {
                start = allocations.ofCurrentThread();
              } else if (polls == 2 * rounds) {
                bytes.set(allocations.ofCurrentThread() - start);
                measured.countDown();
              }
              return polls % 2 == 0;
            }

            // Arms and disarms in every other round without ever sleeping.
            @Override
            public boolean arm() {
              super.arm();
              return false;
            }
          });
      LoopHarness.await(measured);
      assertTrue(bytes.get() < rounds / 100, bytes.get() + " bytes");
    }
  }
}
