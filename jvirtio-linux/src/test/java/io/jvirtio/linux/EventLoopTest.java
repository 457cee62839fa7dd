// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.EventSource;
import io.jvirtio.linux.LoopHarness.Counting;
import io.jvirtio.linux.LoopHarness.Fault;
import io.jvirtio.raw.RawMemory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(120)
class EventLoopTest {
  private OpenFds before;

  @BeforeEach
  void count() throws IOException {
    before = OpenFds.now();
  }

  @AfterEach
  void nothingLeaks() throws IOException {
    before.assertUnchanged();
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void tasksRunInOrderOnTheOwner(LoopMode mode) throws Exception {
    List<Integer> order = new ArrayList<>();
    try (LoopHarness harness = new LoopHarness(mode)) {
      EventLoop loop = harness.loop;
      assertFalse(loop.isOwner());
      for (int i = 0; i < 1000; i++) {
        int number = i;
        loop.execute(() -> order.add(number));
      }
      assertTrue(harness.call(loop::isOwner));
      assertEquals(IntStream.range(0, 1000).boxed().toList(), order);
      assertEquals("loop under test", harness.call(() -> Thread.currentThread().getName()));
      assertSame(loop.thread(), harness.call(Thread::currentThread));
      assertTrue(loop.thread().isDaemon());
    }
  }

  @Test
  void anIdleEventLoopDoesNotPoll() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      Counting source = new Counting();
      harness.add(source);
      long start = harness.call(() -> source.polls);
      for (int i = 0; i < 100; i++) {
        harness.run(() -> {});
      }
      // A task brings one round that works and one that does not; its wake-up may come late and
      // bring another. A loop that spins would make any number.
      long polls = harness.call(() -> source.polls) - start;
      assertTrue(polls <= 4 * 102, polls + " polls");
      assertEquals(0, harness.call(() -> source.arms - source.disarms));
    }
  }

  @Test
  void aPollingLoopNeverSleepsWhileItHasSources() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.POLL)) {
      CountDownLatch many = new CountDownLatch(100_000);
      Counting source =
          new Counting() {
            @Override
            public boolean poll() {
              many.countDown();
              return false;
            }
          };
      harness.add(source);
      LoopHarness.await(many);
      assertEquals(0, source.arms);
      harness.run(() -> harness.loop.removeSource(source));
      harness.run(() -> {});
    }
  }

  @Test
  void anAdaptiveLoopSleepsInTheEnd() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.ADAPTIVE)) {
      CountDownLatch slept = new CountDownLatch(1);
      harness.add(
          new Counting() {
            @Override
            public boolean arm() {
              slept.countDown();
              return super.arm();
            }
          });
      LoopHarness.await(slept);
    }
  }

  @Test
  void aSourceThatCannotWakeIsPolledOn() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      CountDownLatch many = new CountDownLatch(1000);
      Counting source =
          new Counting() {
            @Override
            public boolean arm() {
              super.arm();
              many.countDown();
              return false;
            }
          };
      Counting behind = new Counting();
      harness.add(source);
      harness.add(behind);
      LoopHarness.await(many);
      assertEquals(0, harness.call(() -> source.arms - source.disarms));
      assertEquals(0, harness.call(() -> behind.arms - behind.disarms));
    }
  }

  @Test
  void whatATaskThrowsGoesToTheHandler() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      Error error = new Error("of a task");
      harness.loop.execute(
          () -> {
            throw error;
          });
      harness.run(() -> {});
      assertEquals(List.of(new Fault(null, error)), List.copyOf(harness.faults));
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void whatASourceThrowsGoesToTheHandler(LoopMode mode) throws Exception {
    try (LoopHarness harness = new LoopHarness(mode)) {
      CountDownLatch others = new CountDownLatch(3);
      for (String method : List.of("poll", "arm", "disarm")) {
        harness.add(new Thrower(method, mode != LoopMode.POLL));
        others.countDown();
      }
      Counting healthy = new Counting();
      harness.add(healthy);
      LoopHarness.await(others);
      harness.awaitPolls(healthy, 10);
      int expected = mode == LoopMode.POLL ? 1 : 3;
      while (harness.faults.size() < expected) {
        harness.run(() -> {});
      }
      assertEquals(expected, harness.faults.size());
      for (Fault fault : harness.faults) {
        assertEquals(((Thrower) fault.source()).method, fault.thrown().getMessage());
      }
    }
  }

  /** Throws from one of its methods. */
  private static final class Thrower implements EventSource {
    private final String method;
    private final boolean sleeps;

    Thrower(String method, boolean sleeps) {
      this.method = method;
      this.sleeps = sleeps;
    }

    private void call(String name) {
      if (method.equals(name)) {
        throw new IllegalStateException(name);
      }
    }

    @Override
    public boolean poll() {
      call("poll");
      return false;
    }

    @Override
    public boolean arm() {
      call("arm");
      return sleeps;
    }

    @Override
    public void disarm() {
      call("disarm");
    }
  }

  @Test
  void aHandlerThatThrowsDoesNotEndTheLoop() throws Exception {
    EventLoop loop =
        EventLoop.start(
            "careless",
            LoopMode.EVENT,
            (source, fault) -> {
              throw new IllegalStateException("handler");
            });
    IllegalStateException fault = new IllegalStateException("task");
    loop.execute(
        () -> {
          throw fault;
        });
    assertEquals(1, loop.call(() -> 1, LoopHarness.DEADLINE));
    assertEquals("handler", fault.getSuppressed()[0].getMessage());
    loop.close();
  }

  @Test
  void aTruncatedFileBreaksOneSource() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT);
        Truncated truncated = new Truncated()) {
      Counting victim =
          new Counting() {
            @Override
            public boolean poll() {
              return RawMemory.getLong(truncated.mapping.address()) != 0;
            }
          };
      Counting healthy = new Counting();
      harness.add(victim);
      harness.add(healthy);
      harness.awaitPolls(healthy, 10);
      assertEquals(1, harness.faults.size());
      assertSame(victim, harness.faults.peek().source());
      assertInstanceOf(InternalError.class, harness.faults.peek().thrown());
    }
  }

  @Test
  void removalCountsAtOnce() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      AtomicBoolean removed = new AtomicBoolean();
      AtomicInteger late = new AtomicInteger();
      Counting second =
          new Counting() {
            @Override
            public boolean poll() {
              late.addAndGet(removed.get() ? 1 : 0);
              return false;
            }
          };
      Counting first =
          new Counting() {
            @Override
            public boolean poll() {
              if (removed.compareAndSet(false, true)) {
                harness.loop.removeSource(second);
                harness.loop.removeSource(this);
              }
              return super.poll();
            }
          };
      harness.run(
          () -> {
            harness.loop.addSource(first);
            harness.loop.addSource(second);
          });
      Counting third = new Counting();
      harness.add(third);
      harness.awaitPolls(third, 10);
      assertTrue(removed.get());
      assertEquals(0, late.get());
      assertEquals(1, harness.call(() -> first.polls));
      harness.run(() -> harness.loop.removeSource(second));
      // And it may come back.
      harness.add(first);
      harness.awaitPolls(first, 1);
    }
  }

  @Test
  void manySourcesAreAllPolled() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      List<Counting> sources = IntStream.range(0, 256).mapToObj(i -> new Counting()).toList();
      harness.run(() -> sources.forEach(harness.loop::addSource));
      harness.awaitPolls(sources.getLast(), 1);
      harness.run(() -> sources.forEach(s -> assertTrue(s.polls > 0 && s.arms == s.disarms)));
      harness.run(
          () ->
              assertThrows(
                  IllegalStateException.class, () -> harness.loop.addSource(sources.get(7))));
    }
  }

  @Test
  void onlyTheOwnerChangesTheLoop() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      Counting source = new Counting();
      assertThrows(IllegalStateException.class, () -> harness.loop.addSource(source));
      assertThrows(IllegalStateException.class, () -> harness.loop.removeSource(source));
      assertThrows(IllegalStateException.class, () -> harness.loop.watch(0));
      assertThrows(IllegalStateException.class, () -> harness.loop.unwatch(0));
    }
  }

  @Test
  void whatCannotBeWatchedIsRefused(@TempDir Path directory) throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT);
        EventFd event = EventFd.create();
        RawFile file = RawFile.open(directory.resolve("f"), OpenFlag.READ_WRITE, OpenFlag.CREATE)) {
      int fd = event.fd().value();
      assertEquals(Errno.EPERM, refusal(harness, () -> harness.loop.watch(file.fd().value())));
      assertEquals(Errno.EBADF, refusal(harness, () -> harness.loop.watch(99_999)));
      assertEquals(Errno.ENOENT, refusal(harness, () -> harness.loop.unwatch(fd)));
      harness.run(() -> harness.loop.watch(fd));
      assertEquals(Errno.EEXIST, refusal(harness, () -> harness.loop.watch(fd)));
      harness.run(() -> harness.loop.unwatch(fd));
    }
  }

  private static int refusal(LoopHarness harness, Runnable task) {
    ExecutionException e = assertThrows(ExecutionException.class, () -> harness.run(task));
    UncheckedIOException cause = assertInstanceOf(UncheckedIOException.class, e.getCause());
    return assertInstanceOf(LinuxException.class, cause.getCause()).errno();
  }

  @Test
  void callReturnsThrowsAndKeepsItsDeadline() throws Exception {
    try (LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      EventLoop loop = harness.loop;
      assertEquals(5, harness.call(() -> harness.call(() -> 5)));
      assertNull(harness.call(() -> null));
      ExecutionException e =
          assertThrows(
              ExecutionException.class,
              () ->
                  harness.call(
                      () -> {
                        throw new IOException("inside");
                      }));
      assertEquals("inside", e.getCause().getMessage());
      CountDownLatch hold = new CountDownLatch(1);
      AtomicBoolean ran = new AtomicBoolean();
      loop.execute(() -> assertTrue(uninterruptibly(hold)));
      assertThrows(
          TimeoutException.class, () -> loop.call(() -> ran.getAndSet(true), Duration.ofMillis(5)));
      hold.countDown();
      harness.run(() -> {});
      assertFalse(ran.get());
      assertTrue(harness.faults.isEmpty());
    }
  }

  private static boolean uninterruptibly(CountDownLatch latch) {
    try {
      LoopHarness.await(latch);
      return true;
    } catch (InterruptedException e) {
      return false;
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void closeRunsWhatIsLeftThenRefuses(LoopMode mode) throws Exception {
    LoopHarness harness = new LoopHarness(mode);
    AtomicInteger ran = new AtomicInteger();
    CountDownLatch hold = new CountDownLatch(1);
    harness.loop.execute(() -> assertTrue(uninterruptibly(hold)));
    for (int i = 0; i < 1000; i++) {
      harness.loop.execute(ran::incrementAndGet);
    }
    hold.countDown();
    harness.close();
    harness.close();
    assertEquals(1000, ran.get());
    assertFalse(harness.loop.thread().isAlive());
    assertThrows(RejectedExecutionException.class, () -> harness.loop.execute(() -> {}));
    assertThrows(RejectedExecutionException.class, () -> harness.run(() -> {}));
    harness.loop.wakeUp();
    assertTrue(harness.faults.isEmpty());
  }

  @Test
  void theOwnerMayCloseItsLoop() throws Exception {
    LoopHarness harness = new LoopHarness(LoopMode.EVENT);
    AtomicBoolean after = new AtomicBoolean();
    harness.loop.execute(
        () -> {
          harness.loop.close();
          harness.loop.execute(() -> after.set(true));
        });
    harness.loop.thread().join();
    assertTrue(after.get());
  }
}
