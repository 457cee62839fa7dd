// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.driver.SharedMemoryRegion;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.util.BitSet;

/**
 * The registers of one device as its driver uses them: what PCI and mmio both have, each in its own
 * places. {@link RegisterTransport} makes a transport of it.
 *
 * <p>One thread at a time, but for {@link #status}, the configuration space, {@link #notifyQueue}
 * and {@link #name}: these any thread may use, and they must select nothing. The device is hostile:
 * whatever it says is checked, here or by the caller as each method tells. Every method throws
 * {@link DeviceAnswerException} when the device answers with nonsense or a refusal, and another
 * {@link IOException} when it cannot be reached.
 */
public interface DriverRegisters {
  /** Bit of the interrupt status: buffers were used. */
  int ISR_QUEUE = 1;

  /** Bit of the interrupt status: the configuration has changed, or the device needs a reset. */
  int ISR_CONFIG = 2;

  /** What interrupts tell. Called on any thread; returns soon, and throws nothing. */
  interface Interrupts {
    /** Used buffer notification of one queue. */
    void usedBuffers(int queue);

    /** Configuration change notification. */
    void configurationChanged();

    /**
     * An interrupt that says by bits what it is for.
     *
     * @param status as the register says, with whatever bits
     */
    void interrupt(int status);

    /** The interrupt's cause could not be read. */
    void failed(IOException reason);
  }

  /** Where the device is, for people. */
  String name();

  /** The virtio device id. Any thread. */
  int deviceId();

  /** The vendor id. Any thread. */
  int vendorId();

  /** Whether this is the legacy interface. Any thread. */
  boolean isLegacy();

  /** Whether the legacy interface is a big-endian driver's. Any thread. */
  default boolean isBigEndian() {
    return false;
  }

  /** As {@link io.jvirtio.driver.DriverTransport#carriedFeatures}. Any thread. */
  default FeatureBits carriedFeatures() {
    return FeatureBits.NONE;
  }

  /** The memory that the device reaches. Any thread. */
  DriverMemory memory();

  /**
   * The device status, unchecked.
   *
   * @return -1 when every bit of the register is set, as where there is no device
   */
  int status() throws IOException;

  /**
   * Writes the device status.
   *
   * @param status 0 to 255; 0 begins a reset, for which the caller waits
   */
  void writeStatus(int status) throws IOException;

  /** How many words of features the registers can show: 1 for the legacy interface, at most 4. */
  int featureWords();

  /** A word of what the device offers. */
  int deviceFeatures(int word) throws IOException;

  /** Accepts a word of features. */
  void writeDriverFeatures(int word, int bits) throws IOException;

  /** Bytes of the device configuration space. */
  int configSize() throws IOException;

  /**
   * Reads from the device configuration space, inside of it.
   *
   * @param width 1, 2 or 4 bytes; {@code offset} is a multiple of it
   */
  long readConfig(int offset, int width) throws IOException;

  /** Writes to the device configuration space, as {@link #readConfig} reads. */
  void writeConfig(int offset, int width, long value) throws IOException;

  /** The configuration generation, unsigned; -1 where the registers have none. */
  int configGeneration() throws IOException;

  /**
   * How many queues the device says it has, unchecked; -1 where the registers do not say, and the
   * caller asks for the size of each.
   */
  int queueCount() throws IOException;

  /** The largest size of a queue, unchecked; 0 where there is none. */
  int queueMaxSize(int queue) throws IOException;

  /** Of the used ring on the legacy interface, in bytes; 0 on the modern one. */
  default int legacyAlign() {
    return 0;
  }

  /** Whether the device has this queue enabled. */
  boolean isQueueEnabled(int queue) throws IOException;

  /**
   * Writes all about a queue but that it is enabled, and finds out how to notify the device of it.
   * The queue has its interrupt already.
   *
   * @param wideNotifications whether notifications have 32 bits
   */
  void configureQueue(int queue, QueueLayout layout, boolean wideNotifications) throws IOException;

  /** Enables a queue. */
  void enableQueue(int queue) throws IOException;

  /** Begins the reset of a queue; only with VIRTIO_F_RING_RESET. */
  void startQueueReset(int queue) throws IOException;

  /** Whether the reset of a queue goes on. */
  boolean isQueueResetting(int queue) throws IOException;

  /**
   * What names a queue in notifications, with VIRTIO_F_NOTIF_CONFIG_DATA: unchecked, 16 bits. Only
   * called where {@link #carriedFeatures} has that.
   */
  default int notificationConfigData(int queue) throws IOException {
    return queue;
  }

  /**
   * Notifies the device of a queue. Allocates nothing.
   *
   * @param value what to write
   * @param wide whether all of its 32 bits are to be written, else 16
   */
  void notifyQueue(int queue, int value, boolean wide) throws IOException;

  /**
   * Connects the interrupts of the configuration and of some queues; the others get none.
   *
   * @param queues with a callback
   * @throws DeviceAnswerException when there is no way; nothing is connected then
   */
  void connectInterrupts(BitSet queues, Interrupts interrupts) throws IOException;

  /** Connects a queue again whose reset has forgotten that. */
  default void reconnectQueue(int queue) throws IOException {}

  /** Ends {@link #connectInterrupts}: when it returns, none is told any more. */
  void disconnectInterrupts() throws IOException;

  /** As {@link io.jvirtio.driver.DriverTransport#sharedMemoryRegion}. */
  default SharedMemoryRegion sharedMemoryRegion(int id) throws IOException {
    return null;
  }

  /** Makes registers reachable again that were out of reach. */
  default void reconnect() throws IOException {}

  /** Lets go of the device, which reaches no memory any more, and of the memory. Idempotent. */
  void close();
}
