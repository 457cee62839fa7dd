// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.EventSource;
import io.jvirtio.linux.LoopHarness.Counting;
import java.time.Duration;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * No wake-up of a loop on its caller is lost, whatever the moment, and a turn allocates nothing.
 */
@Timeout(300)
class CallerLoopStressTest {
  private static final Duration DEADLINE = LoopHarness.DEADLINE;

  private static EventLoop loop(LoopMode mode) throws LinuxException {
    return EventLoop.onCaller(mode, EventLoop.DEFAULT_POLL_WINDOW, (source, fault) -> {});
  }

  /** One request after the other, which a device on another thread answers: queue depth 1. */
  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void everyAnswerIsFound(LoopMode mode) throws Exception {
    int requests = 20_000;
    Exchange exchange = new Exchange();
    try (EventLoop loop = loop(mode);
        EventFd kick = EventFd.create()) {
      loop.addSource(exchange);
      loop.watch(kick.fd().value());
      Thread device =
          Thread.ofPlatform().daemon().start(() -> exchange.answer(requests, loop, kick));
      for (int i = 1; i <= requests; i++) {
        int request = i;
        exchange.asked = request;
        assertTrue(loop.runUntil(() -> exchange.seen == request, DEADLINE), "request " + request);
      }
      assertTrue(device.join(DEADLINE));
      loop.unwatch(kick.fd().value());
    }
  }

  private static final class Exchange implements EventSource {
    private volatile int asked;
    private volatile int answered;
    private volatile boolean armed;
    private int seen;

    @Override
    public boolean poll() {
      int now = answered;
      boolean worked = now != seen;
      seen = now;
      return worked;
    }

    @Override
    public boolean arm() {
      armed = true;
      return answered == seen;
    }

    @Override
    public void disarm() {
      armed = false;
    }

    // Notifies only who asked for it, by the descriptor and by wakeUp in turn.
    private void answer(int requests, EventLoop loop, EventFd kick) {
      for (int i = 1; i <= requests; i++) {
        while (asked < i) {
          Thread.onSpinWait();
        }
        for (int pause = i % 256; pause > 0; pause--) {
          Thread.onSpinWait();
        }
        answered = i;
        if (i % 2 == 0) {
          loop.wakeUp();
        } else if (armed) {
          try {
            kick.signal();
          } catch (LinuxException e) {
            throw new AssertionError(e);
          }
        }
      }
    }
  }

  @Test
  void aTaskThatRacesWithCloseRunsOrIsRefused() throws Exception {
    for (int round = 0; round < 300; round++) {
      AtomicInteger accepted = new AtomicInteger();
      AtomicInteger ran = new AtomicInteger();
      EventLoop loop = loop(LoopMode.EVENT);
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
      int enough = round % 50;
      assertTrue(loop.runUntil(() -> ran.get() >= enough, DEADLINE));
      loop.close();
      assertTrue(producer.join(DEADLINE));
      assertEquals(accepted.get(), ran.get());
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void aTurnAllocatesNothing(LoopMode mode) throws Exception {
    int rounds = 20_000;
    Allocations allocations = new Allocations();
    try (EventLoop loop = loop(mode);
        EventFd kick = EventFd.create()) {
      loop.watch(kick.fd().value());
      // Sleeps in every other turn, for no time.
      Counting source =
          new Counting() {
            @Override
            public boolean poll() {
              super.poll();
              return polls % 2 == 0;
            }

            @Override
            public boolean arm() {
              super.arm();
              try {
                kick.signal();
              } catch (LinuxException e) {
                throw new AssertionError(e);
              }
              return true;
            }
          };
      loop.addSource(source);
      long[] target = new long[1];
      BooleanSupplier done = () -> source.polls >= target[0];
      long bytes = Long.MAX_VALUE;
      // The interpreter does allocate; how long until the compiler has come depends on the machine.
      long deadline = System.nanoTime() + DEADLINE.toNanos();
      while (bytes >= rounds / 10 && System.nanoTime() < deadline) {
        target[0] = source.polls + rounds;
        long start = allocations.ofCurrentThread();
        assertTrue(loop.runUntil(done, DEADLINE));
        while (source.polls < target[0] + rounds) {
          loop.turn(DEADLINE);
        }
        bytes = allocations.ofCurrentThread() - start;
      }
      assertTrue(bytes < rounds / 10, bytes + " bytes");
      loop.unwatch(kick.fd().value());
    }
  }
}
