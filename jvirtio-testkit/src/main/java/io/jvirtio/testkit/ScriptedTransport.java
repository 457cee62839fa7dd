// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.SharedMemoryRegion;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/**
 * A device as its driver sees it, for tests of drivers: behaves as a test says, right or wrong, and
 * writes down in which order it is talked to.
 *
 * <p>It begins as a modern device that offers VIRTIO_F_VERSION_1, without a configuration space and
 * with one queue of 256. Methods that change that may be called at any time.
 *
 * <pre>{@code
 * ScriptedTransport device = new ScriptedTransport(DeviceType.BLOCK.id())
 *     .offer(FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX))
 *     .config(new byte[60])
 *     .queues(128);
 * ... the driver starts ...
 * device.device(0).take();
 * }</pre>
 *
 * <p>One thread at a time; but notifications, and {@link #lose}, may come from any.
 */
public final class ScriptedTransport implements DriverTransport {
  private final int deviceId;
  private final TestDriverMemory memory = new TestDriverMemory();
  private final InlineOwner owner = new InlineOwner();
  private final CallScript script = new CallScript();
  private final Map<Integer, SharedMemoryRegion> sharedMemory = new HashMap<>();
  private final ScriptedStatus status = new ScriptedStatus();
  private final ScriptedQueues queues = new ScriptedQueues(this, this::notified, this::queueBroken);

  private volatile TransportListener listener;
  private volatile IntConsumer onNotify = queue -> {};
  private volatile IOException lost;
  private byte[] config = {};
  private int generation;
  private int vendorId;
  private ByteOrder legacyOrder;
  private FeatureBits carried =
      FeatureBits.of(
          ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
          ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
          ReservedFeatures.VIRTIO_F_SUSPEND);
  private boolean reconnects;
  private boolean closed;

  /**
   * A device of some type.
   *
   * @param deviceId virtio 1.4, Device Types
   */
  public ScriptedTransport(int deviceId) {
    this.deviceId = deviceId;
  }

  /** Makes it offer exactly these features. */
  public ScriptedTransport offer(FeatureBits features) {
    status.offer(features);
    return this;
  }

  /** Gives it a vendor. */
  public ScriptedTransport vendor(int id) {
    vendorId = id;
    return this;
  }

  /**
   * Gives it queues, and the largest size of each.
   *
   * @param maxSizes 0 for a queue that is not there
   */
  public ScriptedTransport queues(int... maxSizes) {
    queues.maxSizes(maxSizes);
    return this;
  }

  /** Makes it speak the legacy interface, without VIRTIO_F_VERSION_1. */
  public ScriptedTransport legacy(ByteOrder order) {
    legacyOrder = order;
    status.offer(status.offered().without(ReservedFeatures.VIRTIO_F_VERSION_1));
    return this;
  }

  /** Replaces its configuration space, and with it the generation; notifies nobody. */
  public ScriptedTransport config(byte[] bytes) {
    config = bytes.clone();
    generation = (generation + 1) & 0xff;
    return this;
  }

  /** What its configuration space holds now. */
  public byte[] config() {
    return config.clone();
  }

  /** Gives it a shared memory region. */
  public ScriptedTransport sharedMemory(SharedMemoryRegion region) {
    sharedMemory.put(region.id(), region);
    return this;
  }

  /** Whether it lets FEATURES_OK stand; at first it does, for a subset of what it offers. */
  public ScriptedTransport refuseFeatures(boolean refuse) {
    status.refuseFeatures(refuse);
    return this;
  }

  /** Makes the transport carry exactly these of the features that need it; at first all. */
  public ScriptedTransport carry(FeatureBits features) {
    carried = features;
    return this;
  }

  /** Whether its status stays as it is when it is to be suspended or resumed; at first not. */
  public ScriptedTransport refuseSuspension(boolean refuse) {
    status.refuseSuspension(refuse);
    return this;
  }

  /** Whether {@link #reconnect} finds it again; at first not. */
  public ScriptedTransport reconnects(boolean can) {
    reconnects = can;
    return this;
  }

  /** Lets so many calls succeed, and all after them throw {@link IOException}. */
  public ScriptedTransport failAfter(int moreCalls) {
    script.failAfter(moreCalls);
    return this;
  }

  /**
   * Makes calls fail from now on, such as {@code reset} of a device that never completes it.
   *
   * @param name of the method
   * @param failure what they throw; null ends that
   */
  public ScriptedTransport fail(String name, IOException failure) {
    script.fail(name, failure);
    return this;
  }

  /**
   * Runs something before each call of a method takes effect: a device whose configuration changes
   * between two reads.
   *
   * @param name of the method
   * @param action null for nothing
   */
  public ScriptedTransport before(String name, Runnable action) {
    script.before(name, action);
    return this;
  }

  /** Runs something, with the queue's number, in each available buffer notification. */
  public ScriptedTransport onNotify(IntConsumer action) {
    onNotify = action;
    return this;
  }

  /**
   * All calls so far, such as {@code "writeStatus ACKNOWLEDGE|DRIVER"} and {@code "findQueues 2"}.
   */
  public List<String> calls() {
    return script.calls();
  }

  /** Forgets the calls so far. */
  public void clearCalls() {
    script.clear();
  }

  /** An owner for queues, which {@link #run} runs on the calling thread. */
  public QueueOwner owner() {
    return owner;
  }

  /** Runs the callbacks of the queues of {@link #owner} until there is nothing more to do. */
  public void run() {
    owner.runUntilIdle();
  }

  /**
   * The device side of a queue; another one after each reset of the queue.
   *
   * @return null before the driver has set it up
   */
  public ScriptedDevice device(int queue) {
    return queues.device(queue);
  }

  /** The driver side of a queue, or null. */
  public DriverQueue queue(int queue) {
    return queues.set().queue(queue);
  }

  /** How many available buffer notifications there were for a queue. */
  public int notifications(int queue) {
    return queues.notifications(queue);
  }

  /** What the driver accepted last. */
  public FeatureBits acceptedFeatures() {
    return status.accepted();
  }

  /** The device status, without a call that is written down. */
  public int currentStatus() {
    return status.get();
  }

  /** Whether the driver has closed it. */
  public boolean isClosed() {
    return closed;
  }

  /** Replaces the configuration space and sends a configuration change notification. */
  public void changeConfig(byte[] bytes) {
    config(bytes);
    notifyConfigurationChange();
  }

  /** Sends a configuration change notification, also when nothing has changed. */
  public void notifyConfigurationChange() {
    TransportListener hears = listener;
    if (hears != null) {
      hears.configurationChanged();
    }
  }

  /** Sets DEVICE_NEEDS_RESET and sends a configuration change notification. */
  public void needReset() {
    status.needReset();
    notifyConfigurationChange();
  }

  /** Loses the device: queues break, and every call throws {@code reason}. Any thread. */
  public void lose(IOException reason) {
    lost = reason;
    queues.set().breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
    TransportListener hears = listener;
    if (hears != null) {
      hears.lost(reason);
    }
  }

  private void called(String name, Object... arguments) throws IOException {
    script.called(busName(), lost, name, arguments);
  }

  private void notified(DriverQueue queue) throws IOException {
    if (lost != null) {
      throw new IOException(busName() + " is lost", lost);
    }
    IOException failure = script.failure("notify");
    if (failure != null) {
      throw failure;
    }
    queues.count(queue.index());
    onNotify.accept(queue.index());
  }

  private void queueBroken(int queue, PeerFault fault) {
    TransportListener hears = listener;
    if (hears != null) {
      hears.queueBroken(queue, fault);
    }
  }

  @Override
  public String busName() {
    return "scripted:" + deviceId;
  }

  @Override
  public int deviceId() {
    return deviceId;
  }

  @Override
  public int vendorId() {
    return vendorId;
  }

  @Override
  public boolean isLegacy() {
    return legacyOrder != null;
  }

  @Override
  public boolean isBigEndian() {
    return legacyOrder == ByteOrder.BIG_ENDIAN;
  }

  @Override
  public void setListener(TransportListener hears) {
    listener = hears;
  }

  @Override
  public TestDriverMemory memory() {
    return memory;
  }

  @Override
  public int status() throws IOException {
    called("status");
    return status.get();
  }

  @Override
  public void writeStatus(int value) throws IOException {
    if (value == 0) {
      throw new IllegalArgumentException("status 0 is a reset");
    }
    called("writeStatus", DeviceStatus.describe(value));
    status.write(value);
  }

  @Override
  public void reset() throws IOException {
    called("reset");
    status.reset();
    queues.set().breakAll(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, 0));
  }

  @Override
  public FeatureBits carriedFeatures() {
    return carried;
  }

  @Override
  public FeatureBits deviceFeatures() throws IOException {
    called("deviceFeatures");
    return status.offered();
  }

  @Override
  public void writeDriverFeatures(FeatureBits features) throws IOException {
    called("writeDriverFeatures", features);
    status.accept(features);
  }

  @Override
  public int configSize() throws IOException {
    called("configSize");
    return config.length;
  }

  @Override
  public void readConfig(int offset, byte[] target) throws IOException {
    called("readConfig", offset, target.length);
    checkConfig(offset, target.length);
    System.arraycopy(config, offset, target, 0, target.length);
  }

  @Override
  public void writeConfig(int offset, byte[] source) throws IOException {
    called("writeConfig", offset, source.length);
    checkConfig(offset, source.length);
    System.arraycopy(source, 0, config, offset, source.length);
  }

  private void checkConfig(int offset, int length) throws IOException {
    if (offset < 0 || offset > config.length - length) {
      throw new IOException(
          length + " bytes at " + offset + " of a configuration space of " + config.length);
    }
  }

  @Override
  public int configGeneration() throws IOException {
    called("configGeneration");
    return isLegacy() ? -1 : generation;
  }

  @Override
  public int queueCount() throws IOException {
    called("queueCount");
    return queues.count();
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    called("queueMaxSize", queue);
    return queues.maxSize(queue);
  }

  @Override
  public List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException {
    if (!queues.set().isEmpty()) {
      throw new IllegalStateException("there are queues already");
    }
    called("findQueues", requests.size());
    return queues.find(requests);
  }

  @Override
  public void deleteQueues() {
    script.note("deleteQueues");
    queues.delete();
  }

  @Override
  public void breakQueues(PeerFault fault) {
    queues.set().breakAll(fault);
  }

  @Override
  public void synchronizeCallbacks() throws IOException {
    called("synchronizeCallbacks");
    queues.set().synchronize();
  }

  @Override
  public QueueOwner queueOwner(int queue) {
    return queues.set().owner(queue);
  }

  @Override
  public void setOwner(int queue, QueueOwner newOwner) throws IOException {
    called("setOwner", queue);
    queues.set().setOwner(queue, newOwner);
  }

  @Override
  public void resetQueue(int queue) throws IOException {
    called("resetQueue", queue);
    if (!status.accepted().has(ReservedFeatures.VIRTIO_F_RING_RESET)) {
      throw new IOException(busName() + " cannot reset a queue alone");
    }
    queues.reset(queue);
  }

  @Override
  public void enableQueue(int queue, int newSize) throws IOException {
    called("enableQueue", queue, newSize);
    queues.enable(queue, newSize);
  }

  @Override
  public SharedMemoryRegion sharedMemoryRegion(int id) throws IOException {
    called("sharedMemoryRegion", id);
    return sharedMemory.get(id);
  }

  @Override
  public boolean canReconnect() {
    return reconnects;
  }

  @Override
  public void reconnect(Duration deadline) throws IOException {
    script.note("reconnect");
    if (!reconnects) {
      throw new IOException(busName() + " cannot reconnect");
    }
    if (!queues.set().isEmpty()) {
      throw new IllegalStateException("there are queues still");
    }
    lost = null;
    status.reset();
  }

  /** {@inheritDoc} Queues that are left are deleted. */
  @Override
  public void close() {
    script.note("close");
    if (!closed) {
      closed = true;
      queues.delete();
      memory.close();
    }
  }
}
