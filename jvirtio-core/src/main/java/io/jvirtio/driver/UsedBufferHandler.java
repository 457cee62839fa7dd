// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;

/**
 * The callback of one of a driver's queues. Everything runs on the queue's owner and must not
 * block. What is thrown breaks this queue and nothing else.
 */
@FunctionalInterface
public interface UsedBufferHandler {
  /**
   * There are used buffers: takes them, and may add and kick more. Runs with the callback disabled;
   * it is enabled again before the owner sleeps.
   *
   * @throws PeerFault when the device broke a rule, such as an answer that makes no sense
   */
  void used(DriverQueue queue) throws PeerFault;

  /**
   * Takes work that other threads have left for this queue.
   *
   * @return whether there was any
   */
  default boolean poll(DriverQueue queue) throws PeerFault {
    return false;
  }

  /**
   * The owner is about to sleep.
   *
   * @return false when there is work that nothing would wake the owner for
   */
  default boolean arm() {
    return true;
  }

  /**
   * The queue broke: nothing more comes back. Called once; whatever is in flight has failed. The
   * device may still write to the memory of those buffers until it is reset.
   */
  default void broken(DriverQueue queue, PeerFault fault) {}
}
