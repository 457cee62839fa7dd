// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.HostListener;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.AccessCounters;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.IntFunction;

/**
 * The device behind the registers of PCI and MMIO: what both have, without where it lies. What a
 * driver writes is kept here until the queue is enabled, and is checked then.
 *
 * <p>Thread-safe. The control thread of the {@link DeviceHost} is whoever holds the lock; under it
 * only owners of queues are waited for, and they never take it. {@link #notified}, the interrupt
 * status, and what only reads take no lock. What makes no sense is counted and has no effect;
 * nothing is thrown.
 */
public final class DeviceRegisters {
  /** Bit of the interrupt status: buffers were used. */
  public static final int ISR_QUEUE = 1;

  /** Bit of the interrupt status: the configuration has changed, or the device needs a reset. */
  public static final int ISR_CONFIG = 2;

  private static final int FEATURE_WORDS = 4;

  /** The legacy interface has only the first word, and no version. */
  private static final FeatureBits LEGACY = new FeatureBits(0xffff_ffffL, 0);

  /** What goes out: used buffer and configuration change notifications. Any thread. */
  public interface Interrupts {
    /** The interrupt status has {@link #ISR_QUEUE}. */
    void usedBuffers(int queue);

    /** The interrupt status has {@link #ISR_CONFIG}. */
    void configurationChanged();

    /** Whether {@link #ISR_QUEUE} is of use: not where messages tell of used buffers. */
    default boolean usesStatus() {
      return true;
    }

    /** The device has been reset, the interrupt status included. Must not wait. */
    default void deviceReset() {}
  }

  private final DeviceHost host;
  private final DeviceCore core;
  private final QueueRegisters queues;
  private final ConfigRegisters config;
  private final Interrupts interrupts;
  private final AtomicInteger isr = new AtomicInteger();
  private final AtomicIntegerArray driverFeatures = new AtomicIntegerArray(FEATURE_WORDS);

  /** What the driver sees of the status while the device is being reset. */
  private volatile int statusAtReset;

  /**
   * A device after reset, without memory.
   *
   * @param owners of the device's side of each queue; they stay the caller's
   * @param ringFeatures the reserved bits to offer, as in {@link DeviceHost}
   * @param bigEndian whether drivers of the legacy interface are big-endian
   * @param resets where a reset goes on that takes longer than a register write may; null to wait
   *     for it, however long
   */
  public DeviceRegisters(
      VirtioDevice device,
      IntFunction<? extends QueueOwner> owners,
      FeatureBits ringFeatures,
      boolean bigEndian,
      Interrupts interrupts,
      ExecutorService resets) {
    this(device, owners, ringFeatures, bigEndian, interrupts, resets, DeviceHost.STOP_DEADLINE);
  }

  /** With another deadline for what is in flight. */
  DeviceRegisters(
      VirtioDevice device,
      IntFunction<? extends QueueOwner> owners,
      FeatureBits ringFeatures,
      boolean bigEndian,
      Interrupts interrupts,
      ExecutorService resets,
      Duration stopDeadline) {
    this.host = new DeviceHost(device, new Notifications(), ringFeatures, stopDeadline);
    this.interrupts = interrupts;
    this.core = new DeviceCore(host, resets);
    this.queues = new QueueRegisters(core, owners);
    this.config = new ConfigRegisters(core, bigEndian);
  }

  private final class Notifications implements HostListener {
    @Override
    public void usedBuffers(int queue) {
      if (interrupts.usesStatus()) {
        isr.getAndUpdate(bits -> bits | ISR_QUEUE);
      }
      interrupts.usedBuffers(queue);
    }

    @Override
    public void configurationChanged() {
      isr.getAndUpdate(bits -> bits | ISR_CONFIG);
      interrupts.configurationChanged();
    }

    @Override
    public void queueBroken(int queue, PeerFault fault) {
      // The host sets DEVICE_NEEDS_RESET and says so; there is nothing else to tell a driver.
    }
  }

  /** The device's host: counters, features. */
  public DeviceHost host() {
    return host;
  }

  /** What made no sense. */
  public AccessCounters counters() {
    return core.counters;
  }

  /** How many queues there are. */
  public int queueCount() {
    return queues.count();
  }

  // --- features and status -----------------------------------------------------------------

  /** A word of what the device offers; 0 for one beyond the features that there are. */
  public int deviceFeatures(int select) {
    FeatureBits offered = host.deviceFeatures();
    return switch (select) {
      case 0 -> (int) offered.low();
      case 1 -> (int) (offered.low() >>> 32);
      case 2 -> (int) offered.high();
      case 3 -> (int) (offered.high() >>> 32);
      default -> 0;
    };
  }

  /** A word of what the driver has accepted. */
  public int driverFeatures(int select) {
    return select >= 0 && select < FEATURE_WORDS ? driverFeatures.get(select) : 0;
  }

  /** Whether the driver has accepted a feature, final or not. */
  public boolean accepted(int feature) {
    return (driverFeatures(feature / 32) & 1 << feature % 32) != 0;
  }

  /** The driver accepts a word of features; ignored once they are final. */
  public void writeDriverFeatures(int select, int value) {
    if (core.resetting) { // which may hold the lock for long
      core.counters.ignoredWrite();
      return;
    }
    synchronized (core.lock) {
      boolean late =
          core.resetting
              || (host.status() & (DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK)) != 0;
      if (late || select < 0 || select >= FEATURE_WORDS) {
        if (late || value != 0) { // zeros beyond the end mean nothing, and Linux may write them
          core.counters.ignoredWrite();
        }
        return;
      }
      driverFeatures.set(select, value);
      acceptFeatures();
    }
  }

  private void acceptFeatures() {
    FeatureBits accepted =
        new FeatureBits(
            driverFeatures.get(0) & 0xffff_ffffL | (long) driverFeatures.get(1) << 32,
            driverFeatures.get(2) & 0xffff_ffffL | (long) driverFeatures.get(3) << 32);
    if (!accepted.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      // A legacy driver may; no device here goes by the layout of descriptors.
      accepted = accepted.without(ReservedFeatures.VIRTIO_F_ANY_LAYOUT);
    }
    host.writeDriverFeatures(accepted);
  }

  /**
   * What the legacy interface offers: VIRTIO_F_ANY_LAYOUT in addition, as it must (virtio 1.4,
   * Legacy Interface: Reserved Feature Bits).
   */
  public int legacyDeviceFeatures() {
    return (int) host.deviceFeatures().and(LEGACY).low()
        | 1 << ReservedFeatures.VIRTIO_F_ANY_LAYOUT;
  }

  /**
   * A driver accepts features by the legacy interface, which has only one word: it accepts no
   * others.
   */
  public void writeLegacyFeatures(int value) {
    if (core.resetting) {
      core.counters.ignoredWrite();
      return;
    }
    synchronized (core.lock) {
      writeDriverFeatures(0, value);
      for (int i = 1; i < FEATURE_WORDS; i++) {
        if (driverFeatures.get(i) != 0) {
          writeDriverFeatures(i, 0);
        }
      }
    }
  }

  /** The device status; not 0 before a reset is done. */
  public int status() {
    // The host is done before what is kept here, and one that was 0 would be taken for the end.
    return core.resetting ? statusAtReset | DeviceStatus.ACKNOWLEDGE : host.status();
  }

  /** The driver writes the device status; 0 resets. */
  public void writeStatus(int value) {
    if ((value & 0xff) == 0) {
      reset();
      return;
    }
    if (core.resetting) { // which may hold the lock for long
      core.counters.ignoredWrite();
      return;
    }
    synchronized (core.lock) {
      if (core.resetting || core.closed) {
        core.counters.ignoredWrite();
        return;
      }
      core.guarded(
          "status " + DeviceStatus.describe(value),
          () -> {
            host.setBigEndian(config.isBigEndian());
            host.writeStatus(value & 0xff);
          });
    }
  }

  /**
   * A driver of the legacy interface uses the device before it has set DRIVER_OK, which it may
   * (virtio 1.4, Legacy Interface: Device Initialization): with that its features are final, and
   * DRIVER_OK is set for it.
   *
   * @return whether the device is live now
   */
  public boolean startEarly() {
    if (core.resetting) {
      return false;
    }
    synchronized (core.lock) {
      if (!core.closed && (host.status() & DeviceStatus.DRIVER) != 0) {
        writeStatus(host.status() | DeviceStatus.DRIVER_OK);
      }
      return host.isLive();
    }
  }

  /**
   * Resets the device. Returns once it is done, or when that takes too long for a register write;
   * the status is then not 0 yet, and what is written meanwhile is ignored.
   */
  public void reset() {
    if (core.isPatient()) {
      resetNow();
      return;
    }
    synchronized (core.beginning) {
      if (core.resetting || core.closed) {
        return;
      }
      statusAtReset = host.status();
      core.resetting = true;
    }
    core.await(core.start(this::resetNow));
  }

  /** In the background as long as it takes: who waits for status 0 does not ask again. */
  private void resetNow() {
    boolean done;
    do {
      done = tryReset();
    } while (!done && !core.isPatient());
  }

  /** Returns false when the device has not let go of a queue within its deadline. */
  private boolean tryReset() {
    synchronized (core.lock) {
      if (core.closed) {
        return true;
      }
      core.guarded("reset", host::reset);
      if (host.isAnyRunning()) {
        return false;
      }
      isr.set(0);
      for (int i = 0; i < FEATURE_WORDS; i++) {
        driverFeatures.set(i, 0);
      }
      interrupts.deviceReset();
      queues.forgetAll();
      core.resetting = false; // and the status 0: nothing is left of what was
      queues.applyAccess();
      return true;
    }
  }

  // --- interrupt status --------------------------------------------------------------------

  /** The interrupt status. */
  public int interruptStatus() {
    return isr.get();
  }

  /** Reads and clears the interrupt status, as one step. */
  public int takeInterruptStatus() {
    return isr.getAndSet(0);
  }

  /** Clears bits of the interrupt status. */
  public void acknowledgeInterrupt(int bits) {
    isr.getAndUpdate(now -> now & ~bits);
  }

  // --- queues ------------------------------------------------------------------------------

  /** The parts of a queue (virtio 1.4, Basic Facilities of a Virtio Device / Virtqueues). */
  public enum Area {
    DESCRIPTOR,
    DRIVER,
    DEVICE
  }

  /** Whether there is a queue with this number. */
  public boolean hasQueue(int queue) {
    return queues.has(queue);
  }

  /** The largest size of a queue; 0 where there is none. */
  public int queueMaxSize(int queue) {
    return queues.maxSize(queue);
  }

  /** The size that the driver has chosen, first the largest; 0 where there is no queue. */
  public int queueSize(int queue) {
    return queues.size(queue);
  }

  /** The driver chooses a size. One that there cannot be is not shown either, so not taken. */
  public void writeQueueSize(int queue, int size) {
    boolean allowed = size > 0 && size <= queueMaxSize(queue);
    boolean packed = accepted(ReservedFeatures.VIRTIO_F_RING_PACKED);
    if (allowed && (packed || Integer.bitCount(size) == 1)) {
      queues.writeSize(queue, size);
    } else {
      core.counters.ignoredWrite();
    }
  }

  /** One of the three addresses of a queue, by {@link Area}. */
  public long queueAddress(int queue, Area area) {
    return queues.address(queue, area);
  }

  /** The driver says where a part of a queue is: 64 bits. */
  public void writeQueueAddress(int queue, Area area, long address) {
    queues.writeAddress(queue, area, address);
  }

  /** Whether a queue is enabled. */
  public boolean queueEnabled(int queue) {
    return queues.isEnabled(queue);
  }

  /** Enables a queue with what was written about it. */
  public void enableQueue(int queue) {
    queues.enable(queue);
  }

  /**
   * Resets a queue (virtio 1.4, Virtqueue Reset), or disables it where the transport knows that:
   * forgets what was written about it. As {@link #reset}, it may go on when this returns.
   */
  public void resetQueue(int queue) {
    queues.reset(queue);
  }

  /** Whether a queue is being reset. Takes no lock. */
  public boolean queueResetting(int queue) {
    return queues.isResetting(queue);
  }

  /** The page number at which a legacy driver has put a queue; 0 for none. */
  public long queuePfn(int queue) {
    return queues.pfn(queue);
  }

  /**
   * A legacy driver says where a queue is, in one piece (virtio 1.4, Legacy Interfaces: A Note on
   * Virtqueue Layout); 0 takes it away.
   *
   * @param pfn page number, 32 bits
   * @param pageSize bytes, a power of two
   * @param align of the used ring, in bytes
   */
  public void writeQueuePfn(int queue, long pfn, long pageSize, long align) {
    queues.writePfn(queue, pfn, pageSize, align);
  }

  /**
   * A notification has arrived, with this value (virtio 1.4, Driver Notifications). Takes no lock.
   */
  public void notified(int value) {
    queues.notified(value);
  }

  /** What a driver is to write instead of the number of a queue; 0 where there is none. */
  public int notificationConfigData(int queue) {
    try {
      return host.notificationConfigData(queue);
    } catch (PeerFault none) {
      return 0;
    }
  }

  // --- configuration -----------------------------------------------------------------------

  /** Changes with the configuration. */
  public int configGeneration() {
    return host.config().generation();
  }

  /** Reads from the device configuration space, 1 to 8 bytes; zeros behind its end. */
  public long readConfig(long offset, int width, boolean legacy) {
    return config.read(offset, width, legacy);
  }

  /**
   * Writes to the device configuration space: a field, an element of an array, half of a field of
   * 64 bits; by the legacy interface any bytes. What is not writable is ignored.
   */
  public void writeConfig(long offset, int width, long value, boolean legacy) {
    config.write(offset, width, value, legacy);
  }

  // --- memory and life ---------------------------------------------------------------------

  /**
   * Replaces guest memory. Queues whose rings are gone stand still until those are there again.
   *
   * @return whether nothing refers any more to what was there before; false when a queue does not
   *     end what it has in flight there, which must stay mapped then
   */
  public boolean setMemory(GuestMemory memory) {
    return queues.setMemory(memory);
  }

  /** Adds to guest memory, without a stop ({@link DeviceHost#growMemory}). */
  public void growMemory(GuestMemory larger) {
    queues.growMemory(larger);
  }

  /**
   * Whether the device may access memory, which it may at first. When this returns from taking that
   * away, it does not any more, unless a reset goes on, whose end that is then; queues that ran go
   * on once it may again.
   */
  public void setMayAccess(boolean may) {
    queues.setMayAccess(may);
  }

  /** Resets the device for the last time. Waits. */
  public void close() {
    synchronized (core.lock) {
      core.closed = true;
      core.guarded("end", host::reset);
      queues.forgetAll();
      core.resetting = false;
    }
  }
}
