// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.drivers.blk.BlkCallback;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkIo;
import io.jvirtio.drivers.blk.BlkQueue;
import io.jvirtio.linux.EventLoop;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.function.BooleanSupplier;

/**
 * Several large requests in flight on one queue, run by the thread that owns it. What is done with
 * data happens between the turns of the loop, so that it may block.
 */
final class Pipeline implements AutoCloseable {
  private static final int MOST_BYTES = 1 << 20;
  private static final int IN_FLIGHT = 8;
  private static final int MOST_IN_FLIGHT = 64;
  private static final Duration SLICE = Duration.ofSeconds(1);

  /** One request with its buffer. */
  final class Slot implements BlkCallback {
    /** The request, to be prepared. */
    final BlkIo io;

    /** Shared with the device. */
    final MemorySegment buffer;

    /** Whatever the work wants to know of it. */
    int stage;

    long at;
    long length;

    private Slot(BlkIo io, MemorySegment buffer) {
      this.io = io.onCompletion(this);
      this.buffer = buffer;
    }

    @Override
    public void completed(BlkIo request) {
      inFlight--;
      ended.add(this);
    }

    /** Prepares a read into the buffer. */
    void read() {
      io.read(at).add(buffer.asSlice(0, length));
    }

    /** Prepares a write of the buffer. */
    void write() {
      io.write(at).add(buffer.asSlice(0, length));
    }
  }

  /** What is to be done, in pieces. */
  interface Work {
    /**
     * Prepares the next request in a slot.
     *
     * @return false when there is nothing more to do
     */
    boolean next(Slot slot) throws IOException, CliException;

    /**
     * A request has ended well.
     *
     * @return whether another was prepared in the same slot, to go on with this piece
     */
    boolean ended(Slot slot) throws IOException, CliException;
  }

  private final BlkDriver driver;
  private final BlkQueue queue;
  private final EventLoop loop;
  private final Cancel cancel;
  private final MemorySegment memory;
  private final List<Slot> slots = new ArrayList<>();
  private final Queue<Slot> ended = new ArrayDeque<>();
  private final BooleanSupplier wanted;
  private int inFlight;

  /**
   * Allocates the buffers.
   *
   * @param loop the owner of the queue, run by this thread
   * @param cancel ends the work
   */
  Pipeline(BlkDriver driver, EventLoop loop, Cancel cancel) throws IOException {
    this.driver = driver;
    this.queue = driver.queue(0);
    this.loop = loop;
    this.cancel = cancel;
    this.wanted = () -> !ended.isEmpty() || cancel.isAsked();
    int size = chunk(driver);
    int count = Math.clamp((long) MOST_BYTES * IN_FLIGHT / size, IN_FLIGHT, MOST_IN_FLIGHT);
    memory = driver.allocate((long) size * count);
    for (int i = 0; i < count; i++) {
      slots.add(new Slot(driver.newIo(), memory.asSlice((long) i * size, size)));
    }
  }

  /** Bytes of each buffer: at most 1 MiB, and a multiple of the device's block size. */
  static int chunk(BlkDriver driver) {
    long most = Math.min(MOST_BYTES, driver.limits().maxRequestBytes());
    return (int)
        (most < driver.blockSize() ? most : most / driver.blockSize() * driver.blockSize());
  }

  /**
   * Does all of it.
   *
   * @throws IOException when a request fails, or the work does
   * @throws CliException when the user wants an end, or the work does
   */
  void run(Work work) throws IOException, CliException {
    for (Slot slot : slots) {
      if (!work.next(slot)) {
        break;
      }
      submit(slot);
    }
    while (inFlight > 0 || !ended.isEmpty()) {
      loop.runUntil(wanted, SLICE);
      cancel.check();
      for (Slot slot = ended.poll(); slot != null; slot = ended.poll()) {
        slot.io.check();
        if (work.ended(slot) || work.next(slot)) {
          submit(slot);
        }
      }
    }
  }

  private void submit(Slot slot) throws IOException {
    queue.submit(slot.io);
    inFlight++;
  }

  /** Gives the buffers back, unless something is in flight: then the driver does, at its end. */
  @Override
  public void close() {
    if (inFlight == 0) {
      driver.release(memory);
    }
  }
}
