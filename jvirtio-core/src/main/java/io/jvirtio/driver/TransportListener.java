// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.memory.PeerFault;
import java.io.IOException;

/** What a {@link DriverTransport} tells its driver. Any thread; must neither block nor throw. */
public interface TransportListener {
  /** Configuration change notification (virtio 1.4, Notifications): also DEVICE_NEEDS_RESET. */
  void configurationChanged();

  /** A queue broke. On the queue's owner, after its handler was told. */
  void queueBroken(int queue, PeerFault fault);

  /** The device is gone; every queue has been broken. Only a reconnect helps, if anything. */
  void lost(IOException reason);
}
