// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.FeatureBits;
import java.util.List;

/**
 * A device type: what one kind of virtio device is and does.
 *
 * <p>It is plugged into a {@link DeviceHost}, which does everything that all devices share: device
 * status, feature negotiation, ring formats and features, configuration access, reset, faults. The
 * same object works behind any transport. Unless said otherwise, methods run on the control thread
 * of the transport, one at a time.
 */
public interface VirtioDevice {
  /** The virtio device id (virtio 1.4, Device Types). */
  int deviceId();

  /** How many queues there are, at least 1. */
  int queueCount();

  /**
   * The largest size of a queue, 1 to 32768. With split rings a driver is shown the largest power
   * of two in it. One that is none is for devices whose drivers are known: some of Linux take no
   * other sizes, not for packed rings either.
   */
  default int queueMaxSize(int queue) {
    return 256;
  }

  /**
   * The feature bits of this device type that it offers. Never ring features: they are the host's.
   */
  default FeatureBits features() {
    return FeatureBits.NONE;
  }

  /** The device configuration space; the same object each time. */
  default ConfigSpace config() {
    return ConfigSpace.EMPTY;
  }

  /**
   * The shared memory regions, each with another id; always the same. Transports that do not carry
   * them leave them away.
   */
  default List<SharedMemory> sharedMemory() {
    return List.of();
  }

  /**
   * Whether the device works with this subset of what it offers; when not, FEATURES_OK is not set.
   */
  default boolean accepts(FeatureBits negotiated) {
    return true;
  }

  /** Features are final (FEATURES_OK, or DRIVER_OK on the legacy interface); no queue runs yet. */
  default void negotiated(FeatureBits features) {}

  /**
   * What drivers are to send instead of the index of a queue in their notifications, where
   * VIRTIO_F_NOTIF_CONFIG_DATA is negotiated, such as the number that the queue has inside of the
   * device: 0 to 65535, another for each queue, and always the same.
   */
  default int notificationConfigData(int queue) {
    return queue;
  }

  /** The device was reset: back to the initial state. No queue runs. */
  default void reset() {}

  /**
   * A queue starts. Runs on the queue's owner.
   *
   * @param queue the queue, open
   * @param owner the thread that owns it, where completions of other threads are posted
   * @return what handles its buffers from now on, on the same thread
   */
  QueueHandler startQueue(DeviceQueue queue, QueueOwner owner);
}
