// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;

/**
 * The register to which available buffer notifications are written (virtio 1.4, Driver
 * Notifications). One value goes through it, and the device makes of it what it can. Any thread.
 */
final class Doorbell {
  /** What its values can tell. */
  static final FeatureBits CARRIED =
      FeatureBits.of(
          ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA, ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA);

  private final DeviceHost host;
  private final QueueOwner[] owners;
  private volatile FeatureBits features = FeatureBits.NONE;

  /**
   * @param owners of the device's side of each queue
   */
  Doorbell(DeviceHost host, QueueOwner[] owners) {
    this.host = host;
    this.owners = owners;
  }

  /** Which values are to be written. */
  void negotiated(FeatureBits accepted) {
    features = accepted.and(CARRIED);
  }

  /** What names a queue. */
  int id(int queue) throws IOException {
    if (!features.has(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA)) {
      return queue;
    }
    try {
      return host.notificationConfigData(queue);
    } catch (PeerFault none) {
      throw new IOException("no queue " + queue, none);
    }
  }

  /** The driver's side. */
  void ring(DriverQueue queue) throws IOException {
    int id = id(queue.index());
    boolean data = features.has(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA);
    write(data ? queue.notificationData(id) : id);
  }

  /** The device's side: any value has arrived. What names no queue wakes nobody. */
  void write(int value) {
    int queue = host.notified(value);
    if (queue >= 0) {
      owners[queue].wakeUp();
    }
  }
}
