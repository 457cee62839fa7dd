// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.memory.PeerFault;

/**
 * What a {@link DeviceHost} tells its transport. Called on any thread; must neither block nor
 * throw.
 */
public interface HostListener {
  /** Used buffer notification: buffers of this queue were used. On the queue's owner. */
  void usedBuffers(int queue);

  /** Configuration change notification. */
  void configurationChanged();

  /** A queue broke and does not run again before a reset. On the queue's owner. */
  void queueBroken(int queue, PeerFault fault);
}
