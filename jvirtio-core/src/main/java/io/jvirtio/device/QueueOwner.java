// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import java.time.Duration;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.BooleanSupplier;

/**
 * The one thread that owns some queues: it alone touches their rings.
 *
 * <p>The control plane never touches a running ring; it posts a task here and waits for the answer.
 */
public interface QueueOwner {
  /**
   * Runs a task on the owner, in the order of the calls. Any thread.
   *
   * @throws RejectedExecutionException once the owner is closed
   */
  void execute(Runnable task);

  /**
   * Makes the owner poll its sources soon, for work that another thread has put where a source
   * finds it. Costs a system call only when the owner sleeps. Any thread; does nothing once the
   * owner is closed.
   */
  void wakeUp();

  /**
   * Does the owner's work on the calling thread until a condition holds: tasks, sources, and sleep
   * when there is nothing to do. Allocates nothing per turn. Owner thread only.
   *
   * @param done asked before the first turn and after each; false at first means at least one turn
   * @param deadline the longest time to wait; 0 or less for one turn that does not sleep
   * @return whether {@code done} came true
   * @throws IllegalStateException when the owner has a thread of its own, or when it is in a turn
   *     already: a callback cannot wait for what only its caller can bring about
   */
  boolean runUntil(BooleanSupplier done, Duration deadline);

  /** Whether the current thread is the owner. Any thread. */
  boolean isOwner();

  /** Starts polling a source. Owner thread only. */
  void addSource(EventSource source);

  /** Stops polling a source. Owner thread only. */
  void removeSource(EventSource source);

  /**
   * Lets the readiness of a file descriptor wake the owner. Edge-triggered: the owner never reads
   * the descriptor. Owner thread only.
   *
   * @param fd an open descriptor; it stays the caller's, who calls {@link #unwatch} before closing
   *     it
   */
  void watch(int fd);

  /** Ends {@link #watch}. Owner thread only. */
  void unwatch(int fd);
}
