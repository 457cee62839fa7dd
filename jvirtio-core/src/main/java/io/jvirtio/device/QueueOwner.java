// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import java.util.concurrent.RejectedExecutionException;

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
