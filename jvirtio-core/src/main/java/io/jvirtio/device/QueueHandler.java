// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;

/**
 * Handles the buffers of one queue. Everything runs on the queue's owner and must not block.
 *
 * <p>What is thrown breaks this queue of this device and nothing else.
 */
@FunctionalInterface
public interface QueueHandler {
  /**
   * There may be available buffers: pops them, and pushes at once or later what it is done with.
   * The host publishes what was pushed, once, after this returns.
   *
   * @throws PeerFault when the driver broke a rule that the device cannot answer with a status
   */
  void available(DeviceQueue queue) throws PeerFault;

  /**
   * Takes completions of work that {@link #available} started.
   *
   * @return whether there were any
   */
  default boolean poll() throws PeerFault {
    return false;
  }

  /**
   * Used buffers were published, and the driver is to be notified. For handlers whose driver does
   * not see at once what is published.
   *
   * @return false when it may not yet, to be asked again at the next turn
   */
  default boolean mayNotify() {
    return true;
  }

  /**
   * The owner is about to sleep.
   *
   * @return false when there is something to poll, or nothing would wake the owner for it
   */
  default boolean arm() {
    return true;
  }

  /** The queue has ended: nothing is in flight any more. Releases what the handler holds. */
  default void stopped() {}
}
