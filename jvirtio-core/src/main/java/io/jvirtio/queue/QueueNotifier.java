// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import java.io.IOException;

/** Sends the available buffer notification of a transport. On the queue's owner. */
@FunctionalInterface
public interface QueueNotifier {
  /**
   * Tells the device that buffers are available.
   *
   * @throws IOException when the device can no longer be reached; the queue is then broken
   */
  void notifyDevice(DriverQueue queue) throws IOException;
}
