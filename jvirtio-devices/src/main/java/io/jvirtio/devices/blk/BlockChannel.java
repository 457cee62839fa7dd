// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

/**
 * One queue's way to a {@link BlockBackend}. Used by one thread, the owner of the queue, and never
 * blocks it.
 *
 * <p>The device queues requests, then starts all of them with one {@link #submit}. Each ends with
 * exactly one {@link BlockRequest#completed}, called from within {@link #submit} or {@link #poll},
 * in any order, and never from within the call that queued it. Its place in the channel is free by
 * then: {@code completed} may queue a request again. A channel does not check ranges against the
 * capacity: the device has done so, but the storage may have shrunk since.
 */
public interface BlockChannel extends AutoCloseable {
  /** Whether one more request can be queued. */
  boolean hasRoom();

  /** Queues a read of {@link BlockRequest#length} bytes into the request's segments. */
  void read(BlockRequest request);

  /**
   * Queues a write of the request's segments; with {@link BlockRequest#stable} it completes once
   * the data is stable.
   */
  void write(BlockRequest request);

  /** Queues a flush: it makes every write stable that has completed before this call. */
  void flush(BlockRequest request);

  /** Queues a discard: the range may be deallocated, and may read as anything. */
  void discard(BlockRequest request);

  /**
   * Queues a write of zeroes; with {@link BlockRequest#unmap} the range may be deallocated,
   * provided that it reads as zeroes.
   */
  void writeZeroes(BlockRequest request);

  /** Queues a secure erase: no copy of the range's data is left. */
  void secureErase(BlockRequest request);

  /** Starts everything that was queued, if possible with one system call. */
  void submit();

  /**
   * Completes what has ended.
   *
   * @return whether there was anything
   */
  boolean poll();

  /**
   * The owner is about to sleep.
   *
   * @return false when there is something to {@link #poll} already; otherwise the next completion
   *     wakes the owner
   */
  boolean arm();

  /** Releases the channel. Nothing is in flight. */
  @Override
  void close();
}
