// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.device.QueueOwner;
import java.util.Objects;

/**
 * What a driver wants of one queue.
 *
 * @param name for people
 * @param maxSize the largest queue size that is useful, a power of two; 0 for what the device
 *     offers. On the legacy interface the device alone decides
 * @param maxElements the most elements that a buffer of this queue will have
 * @param handler the callback; null for a queue without a vector, which its owner polls: the device
 *     is then not told how to notify
 * @param owner the thread that owns the queue and runs the callback
 */
public record QueueRequest(
    String name, int maxSize, int maxElements, UsedBufferHandler handler, QueueOwner owner) {
  /** Checks what can be checked here. */
  public QueueRequest {
    Objects.requireNonNull(name);
    Objects.requireNonNull(owner);
    if (maxSize < 0 || Integer.bitCount(maxSize) > 1 || maxElements < 1) {
      throw new IllegalArgumentException(
          name + ": size " + maxSize + ", buffers of " + maxElements + " elements");
    }
  }
}
