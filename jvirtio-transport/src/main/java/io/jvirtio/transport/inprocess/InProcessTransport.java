// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.HostListener;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.registers.ConfigOrder;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.IntFunction;

/**
 * A driver's way to a device in the same process.
 *
 * <p>Each queue has two owners, one for each side. A notification, either way, is a {@link
 * QueueOwner#wakeUp} of the other side's owner: no lock, no allocation, and no system call while
 * that owner is awake.
 *
 * <ul>
 *   <li><b>Inline</b>: both sides have the same {@code InlineOwner}, or the same event loop on its
 *       caller. Then {@code runUntil} does the device's work with the driver's, so that a
 *       synchronous call ends, and with an {@code InlineOwner} all is deterministic. Two {@code
 *       InlineOwner}s would each have to be run.
 *   <li><b>Threaded</b>: owners with threads of their own. They may be shared by any number of
 *       queues of either side.
 * </ul>
 *
 * <p>Why no notification is lost. The queues' pairs [C] and [D] make sure that a notification is
 * sent whenever the other side has armed and not seen the buffer. What arms is about to sleep, and
 * said so before it armed; so {@code wakeUp}, which comes after, finds it asleep or about to find
 * the wake-up (the owner's pair [A]). Pair [E]: {@link InProcessQueues#setOwner} stores the new
 * owner, fences, and has the new owner look at the ring; the device stores the used idx, fences (in
 * [D]), and loads the owner. Either the device wakes the new owner, or the new owner's first look
 * finds the buffer.
 *
 * <p>Locks. The {@link DeviceHost}'s control thread is whoever holds this transport's lock; under
 * it only owners of device queues are waited for, who never take it. Owners of driver queues are
 * waited for without it, so their callbacks may read the configuration or the status, which take no
 * lock either. Memory that grows takes the memory's lock and then this one, never the other way
 * round.
 */
public final class InProcessTransport implements DriverTransport {
  private static final Logger LOG = System.getLogger(InProcessTransport.class.getName());

  /** Memory that a device did not let go of: kept for ever, because it may still write there. */
  private static final Queue<DriverMemory> KEPT = new ConcurrentLinkedQueue<>();

  /** The legacy interface knows no more. */
  private static final FeatureBits LEGACY = new FeatureBits(0xffff_ffffL, 0);

  private final InProcessOptions options;
  private final DeviceHost host;
  private final HostControl control;
  private final ConfigOrder bigEndianConfig;
  private final InProcessMemory memory;
  private final Doorbell doorbell;
  private final InProcessQueues queues;
  private volatile TransportListener listener;

  /**
   * Plugs a device in, with one owner for all its queues and the {@linkplain
   * InProcessOptions#defaults usual} options.
   */
  public InProcessTransport(VirtioDevice device, QueueOwner deviceOwner) {
    this(device, queue -> deviceOwner, InProcessOptions.defaults());
  }

  /** Plugs a device in, with one owner for all its queues. */
  public InProcessTransport(VirtioDevice device, QueueOwner deviceOwner, InProcessOptions options) {
    this(device, queue -> deviceOwner, options);
  }

  /**
   * Plugs a device in.
   *
   * @param device belongs to this transport until that is closed
   * @param deviceOwners the owner of the device's side of a queue, by its number; they stay the
   *     caller's, who closes them after the transport
   */
  public InProcessTransport(
      VirtioDevice device,
      IntFunction<? extends QueueOwner> deviceOwners,
      InProcessOptions options) {
    this.options = options;
    FeatureBits ring = options.ringFeatures();
    this.host =
        new DeviceHost(device, new Notifications(), options.legacy() ? ring.and(LEGACY) : ring);
    this.control = new HostControl(host, options.name());
    this.bigEndianConfig = options.bigEndian() ? new ConfigOrder(host.config()) : null;
    QueueOwner[] owners = new QueueOwner[host.queueCount()];
    for (int i = 0; i < owners.length; i++) {
      owners[i] = Objects.requireNonNull(deviceOwners.apply(i));
    }
    this.doorbell = new Doorbell(host, owners);
    this.memory = new InProcessMemory(options.regionBytes(), this::memoryGrew);
    this.queues =
        new InProcessQueues(options, control, owners, doorbell, memory, this::driverQueueBroken);
  }

  /** What the device tells; on its owners, or under the lock. Takes no lock and does not wait. */
  private final class Notifications implements HostListener {
    @Override
    public void usedBuffers(int queue) {
      queues.wakeDriver(queue);
    }

    @Override
    public void configurationChanged() {
      TransportListener hears = listener;
      if (hears != null) {
        hears.configurationChanged();
      }
    }

    @Override
    public void queueBroken(int queue, PeerFault fault) {
      queues.set().breakQueue(queue, new PeerFault(FaultReason.DEVICE_NEEDS_RESET, queue));
    }
  }

  /** Where notifications arrive, for tests: with any value. */
  Doorbell doorbell() {
    return doorbell;
  }

  @Override
  public int notificationId(int queue) throws IOException {
    return doorbell.id(queue);
  }

  private void driverQueueBroken(int queue, PeerFault fault) {
    TransportListener hears = listener;
    if (hears != null) {
      hears.queueBroken(queue, fault);
    }
  }

  private void memoryGrew(GuestMemory larger) throws IOException {
    control.run(device -> device.growMemory(larger));
  }

  /**
   * The device's host, for tests and tools: its counters, faults, features. Only what any thread
   * may call.
   */
  public DeviceHost host() {
    return host;
  }

  @Override
  public String busName() {
    return options.name();
  }

  @Override
  public int deviceId() {
    return host.device().deviceId();
  }

  @Override
  public int vendorId() {
    return options.vendorId();
  }

  @Override
  public boolean isLegacy() {
    return options.legacy();
  }

  @Override
  public boolean isBigEndian() {
    return options.bigEndian();
  }

  @Override
  public void setListener(TransportListener newListener) {
    listener = newListener;
  }

  @Override
  public DriverMemory memory() {
    return memory;
  }

  @Override
  public int status() throws IOException {
    control.checkOpen();
    return host.status();
  }

  @Override
  public void writeStatus(int status) throws IOException {
    if (status == 0) {
      throw new IllegalArgumentException("status 0 is a reset");
    }
    control.run(
        device -> {
          // A reset has forgotten it, and queues start with DRIVER_OK.
          device.setBigEndian(options.bigEndian());
          device.writeStatus(status);
        });
  }

  /**
   * {@inheritDoc}
   *
   * <p>Waits until the device has used what it had taken; callbacks go on meanwhile.
   */
  @Override
  public void reset() throws IOException {
    try {
      control.run(DeviceHost::reset);
    } finally {
      breakQueues(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, 0));
    }
  }

  @Override
  public FeatureBits carriedFeatures() {
    return Doorbell.CARRIED.with(ReservedFeatures.VIRTIO_F_SUSPEND);
  }

  @Override
  public FeatureBits deviceFeatures() throws IOException {
    control.checkOpen();
    return host.deviceFeatures();
  }

  @Override
  public void writeDriverFeatures(FeatureBits features) throws IOException {
    control.run(device -> device.writeDriverFeatures(features));
  }

  @Override
  public int configSize() throws IOException {
    control.checkOpen();
    return host.config().size();
  }

  @Override
  public void readConfig(int offset, byte[] target) throws IOException {
    control.checkOpen();
    if (offset < 0 || offset > host.config().size() - target.length) {
      throw new IOException(
          busName() + " has no configuration of " + target.length + " bytes at " + offset);
    }
    if (bigEndianConfig == null) {
      host.config().read(offset, target);
    } else {
      bigEndianConfig.read(offset, target);
    }
  }

  /**
   * {@inheritDoc}
   *
   * <p>Ignored while the device is suspended.
   *
   * @throws IOException also when it does not hit a field that drivers may write, whole
   */
  @Override
  public void writeConfig(int offset, byte[] source) throws IOException {
    control.run(
        device -> {
          if (bigEndianConfig == null) {
            device.writeConfig(offset, source);
          } else {
            bigEndianConfig.write(offset, source);
          }
        });
  }

  @Override
  public int configGeneration() throws IOException {
    control.checkOpen();
    return options.legacy() ? -1 : host.config().generation();
  }

  @Override
  public int queueCount() throws IOException {
    control.checkOpen();
    return host.queueCount();
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    if (queue < 0 || queue >= queueCount()) {
      return 0;
    }
    return control.call(device -> device.queueMaxSize(queue));
  }

  @Override
  public List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException {
    return queues.find(requests);
  }

  /**
   * {@inheritDoc}
   *
   * <p>When the device still runs a queue, because it was not reset or did not end in time, their
   * memory is not used again.
   */
  @Override
  public void deleteQueues() {
    queues.delete();
  }

  @Override
  public void breakQueues(PeerFault fault) {
    queues.set().breakAll(fault);
  }

  @Override
  public void synchronizeCallbacks() throws IOException {
    queues.set().synchronize();
  }

  @Override
  public QueueOwner queueOwner(int queue) throws IOException {
    return queues.owner(queue);
  }

  @Override
  public void setOwner(int queue, QueueOwner owner) throws IOException {
    queues.setOwner(queue, owner);
  }

  /**
   * {@inheritDoc}
   *
   * <p>Waits until the device has used what it had taken, which can still be had by {@link
   * DriverQueue#get}. Nothing may be added before the queue is enabled again, or was reset itself
   * while suspended. VIRTIO_F_RING_RESET is for the caller to look at.
   */
  @Override
  public void resetQueue(int queue) throws IOException {
    queues.reset(queue);
  }

  @Override
  public void enableQueue(int queue, int newSize) throws IOException {
    queues.enable(queue, newSize);
  }

  @Override
  public boolean canReconnect() {
    return true;
  }

  /**
   * {@inheritDoc}
   *
   * <p>Resets the device: one that did not let go of a queue in time may have done so by now.
   */
  @Override
  public void reconnect(Duration deadline) throws IOException {
    control.run(DeviceHost::reset);
  }

  /**
   * {@inheritDoc}
   *
   * <p>Resets the device, and breaks all queues; their handlers are told. What drivers still hold
   * of the memory stays valid.
   */
  @Override
  public void close() {
    try {
      if (!control.close()) {
        return;
      }
    } catch (RuntimeException stuck) {
      KEPT.add(memory);
      LOG.log(Level.WARNING, busName() + " does not end: its memory is kept", stuck);
    }
    queues.set().breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
  }
}
