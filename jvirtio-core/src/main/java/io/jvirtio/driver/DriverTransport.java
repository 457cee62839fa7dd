// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.time.Duration;
import java.util.List;

/**
 * A driver's view of one device, whatever it is reached by: a PCI function, mmio registers, a
 * vhost-user socket, an object in the same process.
 *
 * <p>A transport only carries words; what they mean and in which order they are said is {@link
 * DriverDevice}'s. Control plane: one thread at a time unless said otherwise. Every call that waits
 * for the device has a deadline, the transport's, and then throws {@link IOException}; so does
 * everything once the device is gone.
 */
public interface DriverTransport extends AutoCloseable {
  /** Where the device is, for people: such as {@code vhost-user:/run/disk.sock}. Any thread. */
  String busName();

  /** The virtio device id (virtio 1.4, Device Types). Any thread. */
  int deviceId();

  /** The vendor id, or 0 where the transport has none. Any thread. */
  int vendorId();

  /** Whether it speaks the legacy interface. Any thread. */
  boolean isLegacy();

  /** Whether a legacy session is big-endian, as a big-endian driver's is. Any thread. */
  default boolean isBigEndian() {
    return false;
  }

  /** Who hears of changes, from now on; null for nobody. Any thread. */
  void setListener(TransportListener listener);

  /** The memory that both sides see. Any thread. */
  DriverMemory memory();

  /** The device status field (virtio 1.4, Device Status Field). */
  int status() throws IOException;

  /**
   * Writes the device status, not zero: {@link #reset} does that.
   *
   * @throws IllegalArgumentException for zero
   */
  void writeStatus(int status) throws IOException;

  /**
   * Resets the device, and returns once it has (virtio 1.4, Device Reset): it then touches neither
   * rings nor buffers any more. Queues are broken and must be deleted or reset.
   */
  void reset() throws IOException;

  /**
   * Which of the features it carries that need more of a transport than buffers and a doorbell:
   * VIRTIO_F_NOTIFICATION_DATA, VIRTIO_F_NOTIF_CONFIG_DATA, VIRTIO_F_SUSPEND. What is not among
   * them is not accepted. Any thread.
   */
  default FeatureBits carriedFeatures() {
    return FeatureBits.NONE;
  }

  /** What the device offers. */
  FeatureBits deviceFeatures() throws IOException;

  /** What the driver accepts; the device says with FEATURES_OK whether it agrees. */
  void writeDriverFeatures(FeatureBits features) throws IOException;

  /** Bytes of the device configuration space that can be read, as far as the transport knows. */
  int configSize() throws IOException;

  /**
   * Reads from the device configuration space: one access for the transport if it can be.
   *
   * @param offset in bytes
   * @param target whole; 1, 2, 4 or 8 bytes long for a field
   */
  void readConfig(int offset, byte[] target) throws IOException;

  /** Writes to the device configuration space. */
  void writeConfig(int offset, byte[] source) throws IOException;

  /**
   * The configuration generation, which changes whenever two reads could see different versions; -1
   * on a transport that has none, as the legacy interface.
   */
  int configGeneration() throws IOException;

  /** How many queues the device has, or at least may have. */
  int queueCount() throws IOException;

  /** The largest size of a queue; 0 when the device does not have it. */
  int queueMaxSize(int queue) throws IOException;

  /**
   * Makes the device's queues, from number 0 on, and tells the device where they are. Features are
   * final by now. Nothing is notified before DRIVER_OK.
   *
   * @param requests one for each queue; null skips a number
   * @return the queues, null where the request is
   * @throws IOException also when the device has no such queue; then none was made
   * @throws IllegalStateException when there are queues already
   */
  List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException;

  /**
   * Takes the queues away from their owners and frees their memory. The device must have been
   * reset, or be gone.
   */
  void deleteQueues();

  /**
   * Breaks every queue and wakes the owners, who tell the handlers ({@link
   * DriverQueueSet#breakAll}). Any thread; must not block.
   */
  void breakQueues(PeerFault fault);

  /** Waits until no callback runs that began before this call. Never on an owner's thread. */
  void synchronizeCallbacks() throws IOException;

  /** The owner of a queue in use. */
  QueueOwner queueOwner(int queue) throws IOException;

  /**
   * What names a queue in the notifications that are sent, 0 to 65535: its index, or with
   * VIRTIO_F_NOTIF_CONFIG_DATA what the device wants instead (virtio 1.4, Driver Notifications).
   */
  default int notificationId(int queue) throws IOException {
    return queue;
  }

  /** Hands a queue, with its callback, to another owner. */
  void setOwner(int queue, QueueOwner owner) throws IOException;

  /**
   * Disables one queue and resets it (virtio 1.4, Virtqueue Reset). When it returns, the device
   * does not touch the queue, the callback does not run, and what was in flight can be detached.
   * Drivers call {@link DriverDevice#resetQueue}, which looks after the rest.
   *
   * @throws IOException also when the device cannot do that
   */
  void resetQueue(int queue) throws IOException;

  /**
   * Enables a queue again after {@link #resetQueue}.
   *
   * @param newSize the queue size from now on, up to its {@link DriverQueue#maxSize}; a power of
   *     two for a split queue
   */
  void enableQueue(int queue, int newSize) throws IOException;

  /**
   * Whether {@link #resetQueue} needs VIRTIO_F_RING_RESET; not where the transport has messages of
   * its own to stop and start one queue. Any thread.
   */
  default boolean needsRingReset() {
    return true;
  }

  /** A shared memory region, or null when the device has none with this id. */
  default SharedMemoryRegion sharedMemoryRegion(int id) throws IOException {
    return null;
  }

  /** Whether {@link #reconnect} can work. */
  default boolean canReconnect() {
    return false;
  }

  /**
   * Finds the device again after it was lost. It is then as after a reset; memory is kept, queues
   * must be deleted before.
   *
   * @param deadline how long to try
   */
  default void reconnect(Duration deadline) throws IOException {
    throw new IOException(busName() + " cannot reconnect");
  }

  /** Lets go of the device and of the memory. Idempotent. Any thread. */
  @Override
  void close();
}
