// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.EventSource;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A loop under test and what its fault handler was told. */
final class LoopHarness implements AutoCloseable {
  static final Duration DEADLINE = Duration.ofSeconds(30);

  /** What a source or a task threw. */
  record Fault(EventSource source, Throwable thrown) {}

  final ConcurrentLinkedQueue<Fault> faults = new ConcurrentLinkedQueue<>();
  final EventLoop loop;

  LoopHarness(LoopMode mode) throws LinuxException {
    loop = EventLoop.start("loop under test", mode, this::onFault);
  }

  private void onFault(EventSource source, Throwable thrown) {
    faults.add(new Fault(source, thrown));
    if (source != null) {
      loop.removeSource(source);
    }
  }

  <T> T call(Callable<T> task) throws Exception {
    return loop.call(task, DEADLINE);
  }

  /** Runs on the owner and waits. */
  void run(Runnable task) throws Exception {
    call(
        () -> {
          task.run();
          return null;
        });
  }

  void add(EventSource source) throws Exception {
    run(() -> loop.addSource(source));
  }

  /** Waits until a source was polled so many times more, in a loop that may sleep in between. */
  void awaitPolls(Counting source, int more) throws Exception {
    long target = source.polls + more;
    while (source.polls < target) {
      run(() -> {});
    }
  }

  static void await(CountDownLatch latch) throws InterruptedException {
    assertTrue(latch.await(DEADLINE.toSeconds(), TimeUnit.SECONDS), "nothing came in time");
  }

  @Override
  public void close() {
    loop.close();
  }

  /** A source that counts how it is called; idle unless a test overrides something. */
  static class Counting implements EventSource {
    volatile long polls;
    volatile long arms;
    volatile long disarms;

    @Override
    public boolean poll() {
      polls = polls + 1;
      return false;
    }

    @Override
    public boolean arm() {
      arms = arms + 1;
      return true;
    }

    @Override
    public void disarm() {
      disarms = disarms + 1;
    }
  }
}
