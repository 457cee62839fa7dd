// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.HostListener;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.transport.AccessCounters;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Arrays;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.IntFunction;

/**
 * The device behind the registers of PCI and MMIO: what both have, without where it lies. What a
 * driver writes is kept here until the queue is enabled, and is checked then.
 *
 * <p>Thread-safe. The control thread of the {@link DeviceHost} is whoever holds the lock; under it
 * only owners of queues are waited for, and they never take it. {@link #notified}, the interrupt
 * status, and what reads one word take no lock. What makes no sense is counted and has no effect;
 * nothing is thrown.
 */
public final class DeviceRegisters {
  /** Bit of the interrupt status: buffers were used. */
  public static final int ISR_QUEUE = 1;

  /** Bit of the interrupt status: the configuration has changed, or the device needs a reset. */
  public static final int ISR_CONFIG = 2;

  private static final Logger LOG = System.getLogger(DeviceRegisters.class.getName());

  /** How long a register write may take, in milliseconds: peers have deadlines of a few seconds. */
  private static final long PATIENCE_MS = 1000;

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

  /** What a driver has written about one queue. Under the lock. */
  private static final class Queue {
    int size;
    long descriptorArea;
    long driverArea;
    long deviceArea;
    boolean enabled;
    long pfn;

    /** What it was enabled with. */
    QueueLayout layout;

    /** Runs again once memory may be accessed. */
    boolean held;
  }

  private final DeviceHost host;
  private final Interrupts interrupts;
  private final QueueOwner[] owners;
  private final Queue[] queues;
  private final ConfigOrder bigEndianConfig;
  private final ExecutorService resets;
  private final AccessCounters counters = new AccessCounters();
  private final AtomicInteger isr = new AtomicInteger();
  private final Object lock = new Object();

  /** By queue, whether it is being reset. */
  private final AtomicIntegerArray queueResets;

  private final int[] driverFeatures = new int[FEATURE_WORDS];
  private GuestMemory memory = GuestMemory.EMPTY;
  private boolean mayAccess = true;
  private volatile boolean accessWanted = true;
  private volatile boolean resetting;
  private volatile boolean closed;

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
    this.host = new DeviceHost(device, new Notifications(), ringFeatures);
    this.interrupts = interrupts;
    this.resets = resets;
    this.bigEndianConfig = bigEndian ? new ConfigOrder(host.config()) : null;
    this.owners = new QueueOwner[host.queueCount()];
    this.queues = new Queue[host.queueCount()];
    this.queueResets = new AtomicIntegerArray(queues.length);
    for (int i = 0; i < queues.length; i++) {
      this.owners[i] = owners.apply(i);
      queues[i] = new Queue();
      queues[i].size = device.queueMaxSize(i);
    }
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
    return counters;
  }

  /** How many queues there are. */
  public int queueCount() {
    return queues.length;
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
    synchronized (lock) {
      return select >= 0 && select < FEATURE_WORDS ? driverFeatures[select] : 0;
    }
  }

  /** The driver accepts a word of features; ignored once they are final. */
  public void writeDriverFeatures(int select, int value) {
    synchronized (lock) {
      boolean late =
          resetting || (host.status() & (DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK)) != 0;
      if (late || select < 0 || select >= FEATURE_WORDS) {
        if (late || value != 0) { // zeros beyond the end mean nothing, and Linux may write them
          counters.ignoredWrite();
        }
        return;
      }
      driverFeatures[select] = value;
      acceptFeatures();
    }
  }

  private void acceptFeatures() {
    FeatureBits accepted =
        new FeatureBits(
            driverFeatures[0] & 0xffff_ffffL | (long) driverFeatures[1] << 32,
            driverFeatures[2] & 0xffff_ffffL | (long) driverFeatures[3] << 32);
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
    synchronized (lock) {
      writeDriverFeatures(0, value);
      for (int i = 1; i < FEATURE_WORDS; i++) {
        if (driverFeatures[i] != 0) {
          writeDriverFeatures(i, 0);
        }
      }
    }
  }

  /** The device status; not 0 before a reset is done. */
  public int status() {
    return host.status();
  }

  /** The driver writes the device status; 0 resets. */
  public void writeStatus(int value) {
    if ((value & 0xff) == 0) {
      reset();
      return;
    }
    if (resetting) { // which may hold the lock for long
      counters.ignoredWrite();
      return;
    }
    synchronized (lock) {
      if (resetting || closed) {
        counters.ignoredWrite();
        return;
      }
      guarded(
          "status " + DeviceStatus.describe(value),
          () -> {
            host.setBigEndian(bigEndianConfig != null);
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
    if (resetting) {
      return false;
    }
    synchronized (lock) {
      if (!closed && (host.status() & DeviceStatus.DRIVER) != 0) {
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
    if (resetting) {
      return;
    }
    if (resets == null) {
      resetNow();
      return;
    }
    Future<?> done;
    synchronized (lock) {
      if (resetting || closed) {
        return;
      }
      resetting = true;
      done = resets.submit(this::resetNow);
    }
    await(done);
  }

  private void await(Future<?> done) {
    try {
      done.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
    } catch (TimeoutException slow) {
      LOG.log(Level.INFO, "device {0} is still being reset", host.device().deviceId());
    } catch (ExecutionException e) {
      throw new AssertionError(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void resetNow() {
    synchronized (lock) {
      guarded("reset", host::reset);
      isr.set(0);
      for (int i = 0; i < queues.length; i++) {
        forget(i);
      }
      Arrays.fill(driverFeatures, 0);
      interrupts.deviceReset();
      resetting = false;
      applyAccess();
    }
  }

  private void forget(int queue) {
    queues[queue] = new Queue();
    queues[queue].size = host.device().queueMaxSize(queue);
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

  /** Whether there is a queue with this number. */
  public boolean hasQueue(int queue) {
    return queue >= 0 && queue < queues.length;
  }

  /** The largest size of a queue; 0 where there is none. */
  public int queueMaxSize(int queue) {
    return hasQueue(queue) ? host.device().queueMaxSize(queue) : 0;
  }

  /** The size that the driver has chosen, first the largest; 0 where there is no queue. */
  public int queueSize(int queue) {
    synchronized (lock) {
      return hasQueue(queue) ? queues[queue].size : 0;
    }
  }

  /** The driver chooses a size, which is checked when the queue is enabled. */
  public void writeQueueSize(int queue, int size) {
    configure(queue, q -> q.size = size);
  }

  /** One of the three addresses of a queue, by {@link Area}. */
  public long queueAddress(int queue, Area area) {
    synchronized (lock) {
      if (!hasQueue(queue)) {
        return 0;
      }
      return switch (area) {
        case DESCRIPTOR -> queues[queue].descriptorArea;
        case DRIVER -> queues[queue].driverArea;
        case DEVICE -> queues[queue].deviceArea;
      };
    }
  }

  /** The parts of a queue (virtio 1.4, Basic Facilities of a Virtio Device / Virtqueues). */
  public enum Area {
    DESCRIPTOR,
    DRIVER,
    DEVICE
  }

  /** The driver says where a part of a queue is: 64 bits. */
  public void writeQueueAddress(int queue, Area area, long address) {
    configure(
        queue,
        q -> {
          switch (area) {
            case DESCRIPTOR -> q.descriptorArea = address;
            case DRIVER -> q.driverArea = address;
            case DEVICE -> q.deviceArea = address;
          }
        });
  }

  private interface Change {
    void on(Queue queue);
  }

  private void configure(int queue, Change change) {
    synchronized (lock) {
      if (!hasQueue(queue) || queues[queue].enabled || resetting) {
        counters.ignoredWrite();
        return;
      }
      change.on(queues[queue]);
    }
  }

  /** Whether a queue is enabled. */
  public boolean queueEnabled(int queue) {
    synchronized (lock) {
      return hasQueue(queue) && queues[queue].enabled;
    }
  }

  /** Enables a queue with what was written about it. */
  public void enableQueue(int queue) {
    synchronized (lock) {
      if (!hasQueue(queue) || queues[queue].enabled || resetting || closed) {
        counters.ignoredWrite();
        return;
      }
      Queue q = queues[queue];
      q.enabled = true;
      start(queue, q.size, q.descriptorArea, q.driverArea, q.deviceArea);
    }
  }

  private void start(int queue, int size, long descriptors, long driver, long device) {
    boolean packed = host.driverFeatures().has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    QueueLayout layout =
        new QueueLayout(size, descriptors, driver, device, packed ? QueueLayout.PACKED_START : 0);
    queues[queue].layout = layout;
    guarded("queue " + queue, () -> host.startQueue(queue, layout, owners[queue], false));
  }

  /**
   * Resets a queue (virtio 1.4, Virtqueue Reset), or disables it where the transport knows that:
   * forgets what was written about it. As {@link #reset}, it may go on when this returns.
   */
  public void resetQueue(int queue) {
    if (!hasQueue(queue) || resetting || queueResets.get(queue) != 0) {
      counters.ignoredWrite();
      return;
    }
    if (resets == null) {
      resetQueueNow(queue);
    } else {
      queueResets.set(queue, 1);
      await(resets.submit(() -> resetQueueNow(queue)));
    }
  }

  private void resetQueueNow(int queue) {
    synchronized (lock) {
      guarded("reset of queue " + queue, () -> host.resetQueue(queue));
      forget(queue);
      queueResets.set(queue, 0);
    }
  }

  /** Whether a queue is being reset. Takes no lock. */
  public boolean queueResetting(int queue) {
    return hasQueue(queue) && queueResets.get(queue) != 0;
  }

  /** The page number at which a legacy driver has put a queue; 0 for none. */
  public long queuePfn(int queue) {
    synchronized (lock) {
      return hasQueue(queue) ? queues[queue].pfn : 0;
    }
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
    if (pfn == 0) {
      resetQueue(queue);
      return;
    }
    synchronized (lock) {
      boolean sane = Long.bitCount(pageSize) == 1 && Long.bitCount(align) == 1;
      if (!hasQueue(queue) || queues[queue].enabled || resetting || closed || !sane) {
        counters.ignoredWrite();
        return;
      }
      Queue q = queues[queue];
      q.pfn = pfn;
      q.enabled = true;
      long descriptors = pfn * pageSize;
      long driver = descriptors + SplitRing.descSize(q.size);
      long device = driver + SplitRing.availSize(q.size) + align - 1 & -align;
      start(queue, q.size, descriptors, driver, device);
    }
  }

  /**
   * A notification has arrived, with this value (virtio 1.4, Driver Notifications). Takes no lock.
   */
  public void notified(int value) {
    int queue = host.notified(value);
    if (queue >= 0) {
      owners[queue].wakeUp();
    } else {
      counters.ignoredNotification();
    }
  }

  /** What a driver is to write instead of the number of a queue; the number where there is none. */
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

  /** Reads from the device configuration space; zeros behind its end. */
  public long readConfig(long offset, int width, boolean legacy) {
    if (offset < 0 || offset >= host.config().size()) {
      counters.ignoredRead();
      return 0;
    }
    byte[] bytes = new byte[width];
    int inside = (int) Math.min(width, host.config().size() - offset);
    byte[] there = new byte[inside];
    if (legacy && bigEndianConfig != null) {
      bigEndianConfig.read((int) offset, there);
    } else {
      host.config().read((int) offset, there);
    }
    System.arraycopy(there, 0, bytes, 0, inside);
    long value = 0;
    for (int i = 0; i < width; i++) {
      value |= (bytes[i] & 0xffL) << (8 * i);
    }
    return value;
  }

  /** Writes to the device configuration space; what is no writable field is ignored. */
  public void writeConfig(long offset, int width, long value, boolean legacy) {
    byte[] bytes = new byte[width];
    for (int i = 0; i < width; i++) {
      bytes[i] = (byte) (value >>> (8 * i));
    }
    synchronized (lock) {
      if (offset < 0 || offset >= host.config().size() || resetting) {
        counters.ignoredWrite();
        return;
      }
      guarded(
          "configuration",
          () -> {
            if (legacy && bigEndianConfig != null) {
              bigEndianConfig.write((int) offset, bytes);
            } else {
              host.writeConfig((int) offset, bytes);
            }
          });
    }
  }

  // --- memory and life ---------------------------------------------------------------------

  /**
   * Replaces guest memory. When it returns, nothing refers to what was there before; queues whose
   * rings are gone are broken.
   */
  public void setMemory(GuestMemory newMemory) {
    synchronized (lock) {
      memory = newMemory;
      if (mayAccess) {
        guarded("memory", () -> host.setMemory(memory, queue -> queues[queue].layout));
      }
    }
  }

  /** Adds to guest memory, without a stop ({@link DeviceHost#growMemory}). */
  public void growMemory(GuestMemory larger) {
    synchronized (lock) {
      memory = larger;
      if (mayAccess) {
        guarded("memory", () -> host.growMemory(larger));
      }
    }
  }

  /**
   * Whether the device may access memory, which it may at first. When this returns from taking that
   * away, it does not any more, unless a reset goes on, whose end that is then; queues that ran go
   * on once it may again.
   */
  public void setMayAccess(boolean may) {
    accessWanted = may;
    if (!resetting) {
      applyAccess();
    }
  }

  private void applyAccess() {
    synchronized (lock) {
      boolean may = accessWanted;
      if (may == mayAccess) {
        return;
      }
      mayAccess = may;
      boolean healthy = (host.status() & DeviceStatus.DEVICE_NEEDS_RESET) == 0;
      for (int i = 0; !may && healthy && i < queues.length; i++) {
        hold(i);
      }
      GuestMemory now = may ? memory : GuestMemory.EMPTY;
      guarded("memory", () -> host.setMemory(now, queue -> queues[queue].layout));
      for (int i = 0; may && i < queues.length; i++) {
        resume(i);
      }
    }
  }

  private void hold(int queue) {
    guarded(
        "halt of queue " + queue,
        () -> {
          if (host.isRunning(queue)) {
            QueueLayout was = queues[queue].layout;
            queues[queue].layout =
                new QueueLayout(
                    was.size(),
                    was.descriptorArea(),
                    was.driverArea(),
                    was.deviceArea(),
                    host.stopQueue(queue));
            queues[queue].held = true;
          }
        });
  }

  private void resume(int queue) {
    if (queues[queue].held) {
      queues[queue].held = false;
      QueueLayout layout = queues[queue].layout;
      guarded("queue " + queue, () -> host.startQueue(queue, layout, owners[queue], false));
    }
  }

  /** Resets the device for the last time. Waits. */
  public void close() {
    synchronized (lock) {
      closed = true;
      guarded("end", host::reset);
    }
  }

  private interface Action {
    void run() throws PeerFault;
  }

  private void guarded(String what, Action action) {
    try {
      action.run();
    } catch (PeerFault refused) {
      counters.ignoredWrite();
    } catch (RuntimeException bug) {
      // The device's bug, or a queue of it that does not end.
      LOG.log(Level.ERROR, "device " + host.device().deviceId() + ": " + what + " failed", bug);
    }
  }
}
