// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

/**
 * Something that a {@link QueueOwner} polls: a queue, or the completions of a back end.
 *
 * <p>All methods run on the owner's thread and must not block.
 */
public interface EventSource {
  /**
   * Does what there is to do.
   *
   * @return true when something was done, so that the owner asks again soon
   */
  boolean poll();

  /**
   * The owner is about to sleep: asks the peer to wake it from now on.
   *
   * @return false when work arrived in between, or when nothing will wake the owner: it then polls
   *     on
   */
  boolean arm();

  /** The owner is awake again: the peer need not wake it. Called after every {@link #arm}. */
  void disarm();
}
