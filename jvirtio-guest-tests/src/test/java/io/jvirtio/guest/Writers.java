// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.drivers.blk.BlkCallback;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkIo;
import io.jvirtio.drivers.blk.BlkQueue;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Writes a whole disk, once or several times, through all queues at the same time: each owner keeps
 * a number of requests in flight on the blocks that belong to its queue. Every block of every round
 * has other contents.
 */
final class Writers {
  /** Bytes of one request. */
  static final int BLOCK = 8192;

  private static final int DEADLINE_SECONDS = 60;

  private final BlkDriver driver;
  private final int blocks;
  private final int depth;
  private final int rounds;
  private final byte[] pool;
  private final CountDownLatch running;
  private final Queue<IOException> failures = new ConcurrentLinkedQueue<>();
  private final AtomicInteger ended = new AtomicInteger();
  private final AtomicInteger written = new AtomicInteger();

  /**
   * Requests that are not submitted yet.
   *
   * @param bytes of the disk, a multiple of {@link #BLOCK} times the number of queues
   * @param depth how many requests each queue keeps in flight
   * @param rounds how often to write all of it
   */
  Writers(BlkDriver driver, int bytes, int depth, int rounds) {
    this.driver = driver;
    this.blocks = bytes / BLOCK;
    this.depth = depth;
    this.rounds = rounds;
    this.pool = Patterns.random(42, BLOCK + rounds * blocks * Integer.BYTES);
    this.running = new CountDownLatch(depth * driver.queues().size());
  }

  /** Submits the first requests; each submits its next one when it has ended. */
  void begin() throws IOException {
    for (BlkQueue queue : driver.queues()) {
      for (int i = 0; i < depth; i++) {
        Writer writer = new Writer(queue, i, driver.allocate(BLOCK));
        queue.owner().execute(writer::next);
      }
    }
  }

  /** Waits until nothing is in flight any more. */
  void await() throws InterruptedException {
    assertTrue(
        running.await(DEADLINE_SECONDS, TimeUnit.SECONDS),
        () -> running.getCount() + " requests have not ended; failed: " + failures);
  }

  /** Waits until so many requests have ended. */
  void awaitEnded(int count) throws InterruptedException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    while (ended.get() < count) {
      assertTrue(System.nanoTime() < deadline, () -> "only " + ended + " requests have ended");
      Thread.sleep(1);
    }
  }

  /** Why requests have failed, in their order. A writer ends at its first failure. */
  Queue<IOException> failures() {
    return failures;
  }

  void assertNoneFailed() {
    assertTrue(failures.isEmpty(), failures::toString);
    assertEquals(rounds * blocks, written.get());
  }

  /** Bytes that were written. */
  long bytes() {
    return (long) written.get() * BLOCK;
  }

  /** What the disk holds after the last round. */
  byte[] expected() {
    byte[] all = new byte[blocks * BLOCK];
    for (int block = 0; block < blocks; block++) {
      System.arraycopy(pool, at(rounds - 1, block), all, block * BLOCK, BLOCK);
    }
    return all;
  }

  private int at(int round, int block) {
    return (round * blocks + block) * Integer.BYTES;
  }

  /** One request after another on the blocks that are its own, so no two overlap in time. */
  private final class Writer implements BlkCallback {
    private final BlkQueue queue;
    private final int step = depth * driver.queues().size();
    private final int first;
    private final MemorySegment data;
    private final BlkIo io;
    private int round;
    private int block;

    Writer(BlkQueue queue, int number, MemorySegment data) {
      this.queue = queue;
      this.first = number * driver.queues().size() + queue.index();
      this.data = data;
      this.io = driver.newIo().onCompletion(this);
      this.block = first;
    }

    void next() {
      if (block >= blocks) {
        block = first;
        round++;
      }
      if (round >= rounds || first >= blocks) {
        running.countDown();
        return;
      }
      data.copyFrom(MemorySegment.ofArray(pool).asSlice(at(round, block), BLOCK));
      try {
        queue.submit(io.write((long) block * BLOCK).add(data));
      } catch (IOException e) {
        failed(e);
      }
      block += step;
    }

    @Override
    public void completed(BlkIo same) {
      ended.incrementAndGet();
      try {
        io.check();
        written.incrementAndGet();
        next();
      } catch (IOException e) {
        failed(e);
      }
    }

    private void failed(IOException e) {
      failures.add(e);
      running.countDown();
    }
  }
}
