// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.linux.EventLoop;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * A thread of a benchmark that owns one queue. Its loop is at work from the start, since the driver
 * asks the owners of its queues, to the end of the driver.
 */
final class BenchThread {
  private static final Duration SLICE = Duration.ofSeconds(1);

  private final Workload workload;
  private final int number;
  private final CompletableFuture<EventLoop> owner = new CompletableFuture<>();
  private final CompletableFuture<Measurements> result = new CompletableFuture<>();
  private volatile BlkDriver driver;
  private volatile LoadLoop load;
  private volatile boolean cancelled;
  private volatile boolean released;

  /** Starts the thread. */
  BenchThread(Workload workload, int number) {
    this.workload = workload;
    this.number = number;
    Thread.ofPlatform().daemon().name("bench " + number).start(this::run);
  }

  /** Its loop, to be among the owners of the driver. */
  EventLoop owner() throws CliException, InterruptedException {
    try {
      return owner.get();
    } catch (ExecutionException e) {
      throw new CliException(e.getCause().getMessage(), e.getCause());
    }
  }

  /** Starts the requests. */
  void begin(BlkDriver onThis) {
    driver = onThis;
    owner.join().wakeUp();
  }

  /** Submits nothing more. */
  void cancel() {
    cancelled = true;
    LoadLoop current = load;
    if (current != null) {
      current.stop();
    }
  }

  /** Waits for the end of the requests. */
  Measurements result() throws InterruptedException, IOException {
    try {
      return result.get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof IOException failed) {
        throw failed;
      }
      throw new IllegalStateException("a thread of the benchmark failed", e.getCause());
    }
  }

  /** The driver is closed: ends the thread. */
  void release() {
    released = true;
    if (owner.isDone() && !owner.isCompletedExceptionally()) {
      owner.join().wakeUp();
    }
  }

  private void run() {
    try (EventLoop loop = Disks.loop(workload.mode())) {
      owner.complete(loop);
      while (!loop.runUntil(() -> driver != null || released, SLICE)) {
        Thread.onSpinWait();
      }
      if (!released) {
        measure(loop);
      }
      while (!loop.runUntil(() -> released, SLICE)) {
        Thread.onSpinWait();
      }
    } catch (CliException | RuntimeException e) {
      owner.completeExceptionally(e);
      result.completeExceptionally(e);
    }
  }

  private void measure(EventLoop loop) {
    try {
      LoadLoop mine = new LoadLoop(workload, driver, number);
      load = mine;
      if (cancelled) {
        mine.stop();
      }
      result.complete(mine.run(loop));
    } catch (IOException | RuntimeException e) {
      result.completeExceptionally(e);
    }
  }
}
