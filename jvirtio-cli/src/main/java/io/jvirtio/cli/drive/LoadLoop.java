// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.drivers.blk.BlkCallback;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkIo;
import io.jvirtio.drivers.blk.BlkQueue;
import io.jvirtio.linux.EventLoop;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * Keeps requests in flight on one queue, on the thread that owns it, and measures. Nothing is
 * allocated per request. The time is read once for all requests that come back together; they go
 * out again together, with one notification.
 *
 * <p>Owner only, but for {@link #stop}.
 */
final class LoadLoop implements BooleanSupplier {
  /** How long requests may stay away once nothing more is submitted. */
  private static final long DRAIN_NANOS = TimeUnit.SECONDS.toNanos(60);

  private static final Duration SLICE = Duration.ofSeconds(1);

  /** One request, used again and again. */
  private final class Slot implements BlkCallback {
    private final BlkIo io;
    private final MemorySegment data;
    private long start;

    Slot(BlkIo io, MemorySegment data) {
      this.io = io.onCompletion(this);
      this.data = data;
    }

    @Override
    public void completed(BlkIo ended) {
      inFlight--;
      if (!ended.isOk()) {
        fail(ended);
      } else {
        succeeded(this);
      }
    }
  }

  private final Workload workload;
  private final BlkQueue queue;
  private final Slot[] slots;
  private final MemorySegment memory;
  private final long blocks;
  private volatile boolean stopping;
  private Measurements measurements;
  private boolean warm;
  private long started;
  private long stopped;
  private int inFlight;
  private int completions;
  private IOException failure;

  /** When the requests of this batch came back; 0 before the first of them did. */
  private long now;

  private long next;
  private long random;

  /**
   * Prepares everything.
   *
   * @param number of this thread among those of the workload, which is the number of its queue
   * @throws IOException when there is not so much shared memory
   */
  LoadLoop(Workload workload, BlkDriver driver, int number) throws IOException {
    this.workload = workload;
    this.queue = driver.queue(number);
    this.measurements = new Measurements(workload.blockSize());
    this.blocks = driver.capacity() / workload.blockSize();
    this.next = blocks / workload.threads() * number;
    // Any number but 0.
    this.random = (System.nanoTime() ^ 0x9e37_79b9_7f4a_7c15L * (number + 1)) | 1;
    int size = workload.blockSize();
    this.memory = driver.allocate((long) size * workload.depth());
    memory.fill((byte) 0x5a);
    this.slots = new Slot[workload.depth()];
    for (int i = 0; i < slots.length; i++) {
      slots[i] = new Slot(driver.newIo(), memory.asSlice((long) i * size, size));
    }
  }

  /**
   * Runs until the time is over, something fails, or {@link #stop}; and until what is in flight has
   * ended.
   *
   * @throws IOException when a request failed
   */
  Measurements run(EventLoop loop) throws IOException {
    started = System.nanoTime();
    now = started;
    warm = workload.warmupNanos() == 0;
    for (Slot slot : slots) {
      submit(slot);
    }
    if (workload.poll()) {
      while (!getAsBoolean()) {
        if (!queue.poll()) {
          Thread.onSpinWait();
        }
      }
    } else {
      while (!loop.runUntil(this, SLICE)) {
        Thread.onSpinWait();
      }
    }
    if (failure == null && inFlight > 0) {
      failure = new IOException("the device does not end its requests");
    }
    if (failure != null) {
      throw failure;
    }
    measurements.took(stopped - started);
    return measurements;
  }

  /** The memory of the requests, to be given back when they have ended. */
  MemorySegment memory() {
    return memory;
  }

  /** Submits nothing more. Any thread. */
  void stop() {
    stopping = true;
    queue.owner().wakeUp();
  }

  private void succeeded(Slot slot) {
    if (now == 0) {
      now = System.nanoTime();
      lookAtTime(now - started);
    }
    // What comes back in the turn in which the time is over still counts, so that something does.
    if (stopped == 0) {
      completions++;
      measurements.request(now - slot.start);
    }
    if (!stopping) {
      submit(slot);
    }
  }

  private void lookAtTime(long nanos) {
    if (!warm && nanos >= workload.warmupNanos()) {
      warm = true;
      measurements = new Measurements(workload.blockSize());
      started = now;
    } else if (warm && nanos >= workload.nanos()) {
      stopping = true;
    }
  }

  /** After each look at the queue: counts it, and says whether all is over. */
  @Override
  public boolean getAsBoolean() {
    if (stopped == 0) {
      measurements.call(completions);
      completions = 0;
      now = 0;
      if (!stopping) {
        return false;
      }
      stopped = System.nanoTime();
    }
    return inFlight == 0 || System.nanoTime() - stopped > DRAIN_NANOS;
  }

  private void submit(Slot slot) {
    long block;
    if (workload.pattern().random()) {
      random ^= random << 13;
      random ^= random >>> 7;
      random ^= random << 17;
      block = Math.unsignedMultiplyHigh(random, blocks);
    } else {
      block = next;
      next = next + 1 == blocks ? 0 : next + 1;
    }
    slot.start = now;
    long offset = block * workload.blockSize();
    BlkIo io = workload.pattern().writes() ? slot.io.write(offset) : slot.io.read(offset);
    try {
      queue.submit(io.add(slot.data));
      inFlight++;
    } catch (IOException e) {
      fail(e);
    }
  }

  private void fail(BlkIo io) {
    try {
      io.check();
    } catch (IOException e) {
      fail(e);
    }
  }

  private void fail(IOException e) {
    if (failure == null) {
      failure = e;
    }
    stopping = true;
  }
}
