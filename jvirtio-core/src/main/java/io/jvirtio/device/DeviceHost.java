// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.trace.Trace;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntFunction;

/**
 * Everything that all devices share: the device status and its state machine, feature negotiation,
 * the configuration space, queues, reset, faults.
 *
 * <p>A device type is plugged into it; a transport is a thin translator in front of it. All methods
 * belong to one control thread, the transport's, unless said otherwise. They never touch a running
 * ring: they post to the queue's owner and wait.
 *
 * <pre>
 *   0 --ACKNOWLEDGE--> --DRIVER--> --FEATURES_OK (features checked)--> --DRIVER_OK--> live
 *   live --SUSPEND (negotiated; queues stopped)--> suspended --DRIVER_OK--> live
 *   any --fault--> |DEVICE_NEEDS_RESET       any --write 0--> 0 (reset)
 * </pre>
 */
public final class DeviceHost {
  private static final Logger LOG = System.getLogger(DeviceHost.class.getName());

  /** How long a queue may usually take to finish what is in flight before it is given up. */
  public static final Duration STOP_DEADLINE = Duration.ofSeconds(30);

  /** What a driver can set and nobody clears before a reset; SUSPEND is a matter of its own. */
  private static final int DRIVER_STATUS =
      DeviceStatus.ACKNOWLEDGE
          | DeviceStatus.DRIVER
          | DeviceStatus.FEATURES_OK
          | DeviceStatus.DRIVER_OK
          | DeviceStatus.FAILED;

  private final VirtioDevice device;
  private final HostListener listener;
  private final FeatureBits offered;
  private final Duration stopDeadline;
  private final QueueSlot[] queues;
  private final StatusField status;
  private final AtomicLong faults = new AtomicLong();
  private final NotificationDecoder notifications;

  private FeatureBits driverFeatures = FeatureBits.NONE;
  private GuestMemory memory = GuestMemory.EMPTY;
  private boolean bigEndian;

  /**
   * A host, in the state after reset.
   *
   * @param device the device type; it belongs to this host from now on
   * @param listener the transport
   */
  public DeviceHost(VirtioDevice device, HostListener listener) {
    this(device, listener, HostFeatures.RING);
  }

  /**
   * A host that offers only some of the ring features, such as what a user has switched off.
   *
   * @param ringFeatures of the reserved bits that the host implements, those to offer
   * @throws IllegalArgumentException for a reserved bit that the host does not implement, and for a
   *     device that offers ring features itself or a queue size that is not allowed
   */
  public DeviceHost(VirtioDevice device, HostListener listener, FeatureBits ringFeatures) {
    this(device, listener, ringFeatures, STOP_DEADLINE);
  }

  /**
   * A host with another patience than {@link #STOP_DEADLINE}.
   *
   * @param stopDeadline how long a queue may take to start, or to finish what is in flight
   */
  public DeviceHost(
      VirtioDevice device, HostListener listener, FeatureBits ringFeatures, Duration stopDeadline) {
    this.device = device;
    this.listener = listener;
    this.offered = HostFeatures.offered(device, ringFeatures);
    this.stopDeadline = stopDeadline;
    this.queues = new QueueSlot[device.queueCount()];
    for (int i = 0; i < queues.length; i++) {
      if (!PackedRing.isValidQueueSize(device.queueMaxSize(i))) {
        throw new IllegalArgumentException("queue size " + device.queueMaxSize(i));
      }
      queues[i] = new QueueSlot(this, i, device.queueMaxSize(i));
    }
    notifications = new NotificationDecoder(device);
    status = new StatusField(listener);
    device.config().onChange(status::configurationChanged);
  }

  /** The ring features that a host offers unless told otherwise. */
  public static FeatureBits ringFeatures() {
    return HostFeatures.RING;
  }

  /** The ring features that the host implements: more than it offers unless told otherwise. */
  public static FeatureBits implementedFeatures() {
    return HostFeatures.IMPLEMENTED;
  }

  /** The device type. Any thread. */
  public VirtioDevice device() {
    return device;
  }

  /** The device configuration space. Any thread. */
  public ConfigSpace config() {
    return device.config();
  }

  /** How many queues there are. Any thread. */
  public int queueCount() {
    return queues.length;
  }

  /** What the device offers. Any thread. */
  public FeatureBits deviceFeatures() {
    return offered;
  }

  /** What the driver has accepted so far. */
  public FeatureBits driverFeatures() {
    return driverFeatures;
  }

  /** The device status field. Any thread. */
  public int status() {
    return status.get();
  }

  /** Faults of the peer since the host was made. Any thread. */
  public long faults() {
    return faults.get();
  }

  /**
   * The driver accepts features (virtio 1.4, Feature Bits). They can only change before
   * FEATURES_OK; a later write is ignored, because the only way to renegotiate is a reset.
   */
  public void writeDriverFeatures(FeatureBits features) {
    if ((status() & (DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK)) == 0) {
      driverFeatures = features;
    }
  }

  /** The byte order of a legacy session; ignored once VIRTIO_F_VERSION_1 is negotiated. */
  public void setBigEndian(boolean big) {
    bigEndian = big;
  }

  /**
   * The driver writes the device status (virtio 1.4, Device Status Field). Zero resets. Bits cannot
   * be cleared otherwise. FEATURES_OK stays clear when the features are not acceptable, and
   * DRIVER_OK stays clear on the modern interface while FEATURES_OK is.
   *
   * <p>SUSPEND suspends a live device whose driver has accepted VIRTIO_F_SUSPEND, and is ignored
   * otherwise; DRIVER_OK resumes it (virtio 1.4, Device Suspend). Waits until the queues have
   * stopped. What fails leaves DEVICE_NEEDS_RESET.
   */
  public void writeStatus(int value) {
    if (value == 0) {
      reset();
      return;
    }
    int fresh = value & DRIVER_STATUS & ~status();
    if (isSuspended()) {
      status.change(0, fresh & DeviceStatus.FAILED);
      if ((fresh & DeviceStatus.DRIVER_OK) != 0) {
        resume();
      }
      return;
    }
    // Once initialised; a driver that sets DRIVER_OK and SUSPEND at once is not suspended.
    boolean suspends =
        (value & DeviceStatus.SUSPEND) != 0
            && isLive()
            && driverFeatures.has(ReservedFeatures.VIRTIO_F_SUSPEND);
    if ((fresh & DeviceStatus.FEATURES_OK) != 0) {
      if (featuresAcceptable()) {
        negotiated();
      } else {
        LOG.log(Level.WARNING, "features {0} of {1} refused", driverFeatures, offered);
        fresh &= ~DeviceStatus.FEATURES_OK;
      }
    }
    if ((fresh & DeviceStatus.DRIVER_OK) != 0) {
      int after = status() | fresh;
      boolean modern = driverFeatures.has(ReservedFeatures.VIRTIO_F_VERSION_1);
      if ((after & DeviceStatus.FEATURES_OK) == 0) {
        if (modern || !featuresAcceptable()) {
          fresh &= ~DeviceStatus.DRIVER_OK;
        } else {
          // A legacy driver knows no FEATURES_OK: its features are final now.
          negotiated();
        }
      }
    }
    status.change(0, fresh);
    if ((fresh & DeviceStatus.DRIVER_OK) != 0) {
      for (QueueSlot queue : queues) {
        queue.startIfReady();
      }
    }
    if (suspends) {
      suspend();
    }
  }

  /**
   * Takes no more buffers, waits for those in flight, which are published and notified, and is
   * suspended then. One that does not get there needs a reset: what has stopped stays so.
   */
  private void suspend() {
    try {
      for (QueueSlot queue : queues) {
        queue.suspend();
      }
    } catch (RuntimeException stuck) {
      LOG.log(Level.WARNING, "device " + device.deviceId() + " is not suspended", stuck);
      for (QueueSlot queue : queues) {
        queue.giveUp();
      }
      status.needsReset();
      return;
    }
    device.config().hold();
    status.change(DeviceStatus.DRIVER_OK, DeviceStatus.SUSPEND);
  }

  private void resume() {
    boolean changed = status.resume();
    try {
      for (QueueSlot queue : queues) {
        if (queue.isSuspended()) {
          queue.startIfReady();
        }
      }
    } catch (RuntimeException stuck) {
      LOG.log(Level.WARNING, "device " + device.deviceId() + " does not resume", stuck);
      status.needsReset();
    }
    if (!device.config().release() && changed) {
      listener.configurationChanged();
    }
  }

  private boolean featuresAcceptable() {
    return driverFeatures.isSubsetOf(offered)
        && HostFeatures.fitTogether(driverFeatures)
        && device.accepts(driverFeatures);
  }

  private void negotiated() {
    notifications.negotiated(driverFeatures);
    device.negotiated(driverFeatures);
    Trace.negotiation(device.deviceId(), offered, driverFeatures);
  }

  /** Whether DRIVER_OK is set: queues may run. Any thread. */
  public boolean isLive() {
    return status.has(DeviceStatus.DRIVER_OK);
  }

  /**
   * Whether the driver has suspended the device: it then neither touches a ring nor notifies. Any
   * thread.
   */
  public boolean isSuspended() {
    return status.has(DeviceStatus.SUSPEND);
  }

  /**
   * The driver writes to the configuration space ({@link ConfigSpace#write}); ignored while the
   * device is suspended.
   *
   * @throws PeerFault for a write that does not hit a writable field, whole
   */
  public void writeConfig(int offset, byte[] source) throws PeerFault {
    if (!isSuspended()) {
      device.config().write(offset, source);
    }
  }

  /**
   * An available buffer notification with the value that the driver sent has arrived (virtio 1.4,
   * Driver Notifications). Bits 0 to 15 name the queue: by its index, or with
   * VIRTIO_F_NOTIF_CONFIG_DATA by what {@link #notificationConfigData} gave the driver. With
   * VIRTIO_F_NOTIFICATION_DATA bits 16 to 31 tell where the next buffer will be made available,
   * which is only remembered: the ring alone says what is available. Any thread; allocates nothing.
   *
   * @param value as it came, whatever is in it
   * @return the queue whose owner is to be woken; -1 for a value that means none, which is counted
   *     as a fault and has no other effect
   */
  public int notified(int value) {
    int queue = notifications.accept(value);
    if (queue < 0) {
      faults.incrementAndGet();
    }
    return queue;
  }

  /**
   * What names a queue in notifications with VIRTIO_F_NOTIF_CONFIG_DATA, 0 to 65535: the device's
   * choice. For a transport that shows it to the driver. Any thread.
   */
  public int notificationConfigData(int queue) throws PeerFault {
    slot(queue);
    return notifications.configData(queue);
  }

  /**
   * The last {@code next_off} and {@code next_wrap} (bit 15) that notifications of a queue have
   * told, 0 to 65535; -1 for none since the features were negotiated. For debugging. Any thread.
   */
  public int notificationData(int queue) throws PeerFault {
    slot(queue);
    return notifications.next(queue);
  }

  /**
   * Resets the device (virtio 1.4, Device Reset): waits for what is in flight, forgets the queues
   * and the features, heals every fault. No ring access and no notification follows. Guest memory
   * stays. What fails leaves DEVICE_NEEDS_RESET, and the next reset tries again.
   */
  public void reset() {
    RuntimeException stuck = null;
    for (QueueSlot queue : queues) {
      try {
        queue.stop();
      } catch (RuntimeException e) { // also of an owner that is closed
        stuck = e;
      }
      queue.forget();
    }
    driverFeatures = FeatureBits.NONE;
    notifications.negotiated(driverFeatures);
    bigEndian = false;
    try {
      device.reset();
    } catch (RuntimeException bug) {
      stuck = bug;
    }
    status.reset();
    device.config().release();
    if (stuck != null) {
      // Not 0, with which a driver takes its memory back.
      status.change(0, DeviceStatus.DEVICE_NEEDS_RESET);
      throw stuck;
    }
  }

  /**
   * The largest size of a queue in the format that is negotiated: what the device states; unless
   * rings are packed, the largest power of two in it (virtio 1.4, PCI Device Layout / Common
   * configuration structure layout).
   */
  public int queueMaxSize(int queue) throws PeerFault {
    int most = slot(queue).maxSize();
    boolean packed = driverFeatures.has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    return packed ? most : Integer.highestOneBit(most);
  }

  /** The counters of a queue since the last reset of the counters. Read them on its owner. */
  public QueueCounters counters(int queue) throws PeerFault {
    return slot(queue).counters();
  }

  /** Whether a queue runs. */
  public boolean isRunning(int queue) throws PeerFault {
    return slot(queue).isRunning();
  }

  /** Whether any queue runs; also one that did not stop in time, and may still reach memory. */
  public boolean isAnyRunning() {
    return Arrays.stream(queues).anyMatch(QueueSlot::isRunning);
  }

  /**
   * Enables a queue: it starts now, or with DRIVER_OK.
   *
   * @param layout where the queue is
   * @param owner the thread that is to own it
   * @param polling whether nothing will wake the owner for this queue, so that it must be polled
   * @throws PeerFault when there is no such queue. A layout that is not allowed breaks the queue
   *     instead
   */
  public void startQueue(int queue, QueueLayout layout, QueueOwner owner, boolean polling)
      throws PeerFault {
    slot(queue).enable(layout, owner, polling);
  }

  /**
   * Stops a queue: takes no more buffers and waits for those in flight.
   *
   * @return where a later session goes on, as {@link QueueLayout#start}; the layout's start when
   *     the queue never ran
   * @throws PeerFault when there is no such queue
   */
  public int stopQueue(int queue) throws PeerFault {
    return slot(queue).disable();
  }

  /** The device's share of a queue reset: stops it, heals it, and forgets its layout. */
  public void resetQueue(int queue) throws PeerFault {
    slot(queue).stop();
    slot(queue).forget();
  }

  /**
   * Replaces guest memory. Running queues finish what is in flight in the old memory, acknowledge,
   * and go on in the new one; when this returns, nothing refers to the old memory any more. A
   * broken queue stays broken.
   *
   * @param layouts the layouts of running or suspended queues in terms of the new memory, by queue
   *     number; null breaks the queue
   */
  public void setMemory(GuestMemory newMemory, IntFunction<QueueLayout> layouts) {
    boolean[] running = new boolean[queues.length];
    for (int i = 0; i < queues.length; i++) {
      running[i] = queues[i].isRunning() && !queues[i].isBroken();
      queues[i].stop();
    }
    memory = newMemory;
    for (int i = 0; i < queues.length; i++) {
      if (running[i] || queues[i].isSuspended()) {
        queues[i].resume(layouts.apply(i));
      }
    }
  }

  /**
   * Adds to guest memory. Running queues go on meanwhile, with whatever they have in flight; when
   * this returns, they know the new regions.
   *
   * @param larger holds every region of the current memory, at the same place
   * @throws IllegalStateException when the owner of a queue does not answer
   */
  public void growMemory(GuestMemory larger) {
    memory = larger;
    for (QueueSlot queue : queues) {
      try {
        queue.growMemory(larger);
      } catch (PeerFault impossible) {
        throw new AssertionError(impossible);
      }
    }
  }

  /** The current memory snapshot. */
  public GuestMemory memory() {
    return memory;
  }

  private QueueSlot slot(int queue) throws PeerFault {
    if (queue < 0 || queue >= queues.length) {
      throw new PeerFault(FaultReason.QUEUE_INDEX_INVALID, queue);
    }
    return queues[queue];
  }

  boolean bigEndian() {
    return bigEndian && !driverFeatures.has(ReservedFeatures.VIRTIO_F_VERSION_1);
  }

  Duration stopDeadline() {
    return stopDeadline;
  }

  HostListener listener() {
    return listener;
  }

  /** The one exit for faults. Any thread. */
  void queueFaulted(int queue, PeerFault fault, Throwable bug) {
    faults.incrementAndGet();
    Trace.fault(device.deviceId(), queue, fault);
    if (bug != null) {
      LOG.log(Level.ERROR, "device " + device.deviceId() + " failed on queue " + queue, bug);
    } else {
      LOG.log(Level.WARNING, "queue {0} broken: {1}", queue, fault.getMessage());
    }
    status.needsReset();
  }
}
