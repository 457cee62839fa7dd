// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.HostListener;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.BooleanSupplier;

/**
 * A device on the bench: plugged into a {@link DeviceHost}, with guest memory, a scripted driver
 * for each queue, and a record of what the device tells its transport.
 *
 * <pre>{@code
 * try (DeviceBench bench = DeviceBench.of(new MyDevice()).start()) {
 *   bench.driver(0).chain().writable(16).submit();
 *   bench.run();
 *   assertEquals(16, bench.driver(0).poll().length());
 * }
 * }</pre>
 *
 * <p>Queues run on the calling thread unless {@link Builder#threaded} is called. Not thread-safe.
 */
public final class DeviceBench implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final DeviceHost host;
  private final TestMemory memory;
  private final boolean ownsMemory;
  private final long[] mark;
  private final QueueOwner owner;
  private final FeatureBits wanted;
  private final ByteOrder order;
  private final int queueSize;
  private final Recorder recorder;
  private final ScriptedDriver[] drivers;

  private DeviceBench(Builder builder) {
    ownsMemory = builder.memory == null;
    memory = ownsMemory ? TestMemory.standard() : builder.memory;
    mark = memory.mark();
    owner = builder.threaded ? new ThreadOwner("bench") : new InlineOwner();
    recorder = new Recorder(builder.device.queueCount());
    FeatureBits format =
        FeatureBits.NONE
            .withIf(builder.packed, ReservedFeatures.VIRTIO_F_RING_PACKED)
            .withIf(builder.inOrder, ReservedFeatures.VIRTIO_F_IN_ORDER);
    host =
        new DeviceHost(
            builder.device, recorder, builder.ringFeatures.or(format), builder.stopDeadline);
    host.setMemory(memory.snapshot(), queue -> null);
    order = builder.order;
    // What many tests look at is the split ring: a packed one only for those who ask.
    FeatureBits offered = host.deviceFeatures().without(ReservedFeatures.VIRTIO_F_RING_PACKED);
    if (builder.legacy) {
      offered = offered.without(ReservedFeatures.VIRTIO_F_VERSION_1);
    }
    wanted = (builder.features == null ? offered : builder.features).or(format);
    queueSize = builder.queueSize;
    drivers = new ScriptedDriver[host.queueCount()];
  }

  /** Puts a device on the bench. */
  public static Builder of(VirtioDevice device) {
    return new Builder(device);
  }

  /** How the bench is set up. Not thread-safe. */
  public static final class Builder {
    private final VirtioDevice device;
    private TestMemory memory;
    private FeatureBits features;
    private FeatureBits ringFeatures = DeviceHost.ringFeatures();
    private ByteOrder order = ByteOrder.LITTLE_ENDIAN;
    private boolean legacy;
    private boolean packed;
    private boolean inOrder;
    private boolean threaded;
    private int queueSize;
    private Duration stopDeadline = DeviceHost.STOP_DEADLINE;

    private Builder(VirtioDevice device) {
      this.device = device;
    }

    /** Uses this memory instead of {@link TestMemory#standard}; it stays the caller's. */
    public Builder memory(TestMemory guestMemory) {
      memory = guestMemory;
      return this;
    }

    /**
     * The driver accepts exactly these features instead of all that are offered but for
     * VIRTIO_F_RING_PACKED.
     */
    public Builder features(FeatureBits accepted) {
      features = accepted;
      return this;
    }

    /** The host offers only these of the ring features. */
    public Builder ringFeatures(FeatureBits offered) {
      ringFeatures = offered;
      return this;
    }

    /** Queues are packed: VIRTIO_F_RING_PACKED is accepted too. */
    public Builder packed() {
      packed = true;
      return this;
    }

    /** VIRTIO_F_IN_ORDER is offered and accepted too. */
    public Builder inOrder() {
      inOrder = true;
      return this;
    }

    /** A driver of the legacy interface: without VIRTIO_F_VERSION_1, in the guest's byte order. */
    public Builder legacy(ByteOrder guestOrder) {
      legacy = true;
      order = guestOrder;
      return this;
    }

    /** The size of every queue instead of the largest that the device offers. */
    public Builder queueSize(int size) {
      queueSize = size;
      return this;
    }

    /** How long the host waits for a queue instead of {@link DeviceHost#STOP_DEADLINE}. */
    public Builder stopDeadline(Duration deadline) {
      stopDeadline = deadline;
      return this;
    }

    /** Queues run on a thread of their own, a {@link ThreadOwner}. */
    public Builder threaded() {
      threaded = true;
      return this;
    }

    /** The device after power-on: status 0. */
    public DeviceBench build() {
      return new DeviceBench(this);
    }

    /** A live device: negotiated, all queues started. */
    public DeviceBench start() {
      DeviceBench bench = build();
      bench.start();
      return bench;
    }
  }

  /** The host. */
  public DeviceHost host() {
    return host;
  }

  /** Guest memory. */
  public TestMemory memory() {
    return memory;
  }

  /** The owner of all queues. */
  public QueueOwner owner() {
    return owner;
  }

  /**
   * The driver of a queue that was started.
   *
   * @throws IllegalStateException when it was not
   */
  public ScriptedDriver driver(int queue) {
    if (drivers[queue] == null) {
      throw new IllegalStateException("queue " + queue + " was not started");
    }
    return drivers[queue];
  }

  /**
   * Goes through the initialization up to FEATURES_OK, which a legacy driver leaves out.
   *
   * @return whether the device accepted the features
   */
  public boolean negotiate() {
    return negotiate(wanted);
  }

  /** As {@link #negotiate()}, with these features. */
  public boolean negotiate(FeatureBits features) {
    host.writeStatus(DeviceStatus.ACKNOWLEDGE);
    host.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
    host.setBigEndian(order == ByteOrder.BIG_ENDIAN);
    host.writeDriverFeatures(features);
    if (!features.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      return true;
    }
    host.writeStatus(host.status() | DeviceStatus.FEATURES_OK);
    return (host.status() & DeviceStatus.FEATURES_OK) != 0;
  }

  /**
   * Allocates a queue's rings and enables it.
   *
   * @return its driver
   */
  public ScriptedDriver startQueue(int queue) {
    int size = sizeOf(queue);
    return startQueue(
        queue,
        host.driverFeatures().has(ReservedFeatures.VIRTIO_F_RING_PACKED)
            ? PackedRawRing.allocate(memory, size)
            : RawRing.allocate(memory, size));
  }

  /** Enables a queue at this place, which a driver must be able to reach. */
  public ScriptedDriver startQueue(int queue, QueueLayout layout) {
    drivers[queue] = new ScriptedDriver(memory, layout, host.driverFeatures(), order);
    startRawQueue(queue, layout);
    return drivers[queue];
  }

  /** Enables a queue with any layout, allowed or not; it has no driver. */
  public void startRawQueue(int queue, QueueLayout layout) {
    try {
      host.startQueue(queue, layout, owner, false);
    } catch (PeerFault fault) {
      throw new IllegalArgumentException(fault);
    }
  }

  private int sizeOf(int queue) {
    try {
      return queueSize == 0 ? host.queueMaxSize(queue) : queueSize;
    } catch (PeerFault fault) {
      throw new IllegalArgumentException(fault);
    }
  }

  /** Sets DRIVER_OK. */
  public void driverOk() {
    host.writeStatus(host.status() | DeviceStatus.DRIVER_OK);
  }

  /**
   * The whole initialization, from status 0: all queues run afterwards.
   *
   * @throws IllegalStateException when the device does not accept the features
   */
  public void start() {
    if (!negotiate()) {
      throw new IllegalStateException("the device refused " + wanted);
    }
    for (int i = 0; i < drivers.length; i++) {
      startQueue(i);
    }
    driverOk();
  }

  /** Resets the device; the drivers are gone. */
  public void reset() {
    host.writeStatus(0);
    Arrays.fill(drivers, null);
  }

  /**
   * Resets the device and starts it anew, with fresh rings. What was allocated from the memory
   * since the bench was made is given back.
   */
  public void restart() {
    reset();
    memory.release(mark);
    start();
  }

  /** Replaces guest memory by a new snapshot; the queues stay where they are in it. */
  public void replaceMemory(GuestMemory snapshot) {
    host.setMemory(snapshot, queue -> drivers[queue] == null ? null : drivers[queue].layout());
  }

  /**
   * The driver's available buffer notification, for every queue. Inline, the device works until it
   * is idle before this returns.
   */
  public void run() {
    switch (owner) {
      case InlineOwner inline -> inline.runUntilIdle();
      case ThreadOwner thread -> thread.wake();
      default -> throw new IllegalStateException("owner " + owner);
    }
  }

  /**
   * Runs until so many used buffers wait at a driver.
   *
   * @throws IllegalStateException when they do not come within half a minute
   */
  public void awaitUsed(int queue, int count) {
    await(() -> drivers[queue].pending() >= count);
  }

  /**
   * Runs until something is so.
   *
   * @throws IllegalStateException when it is not within half a minute
   */
  public void await(BooleanSupplier condition) {
    long start = System.nanoTime();
    while (!condition.getAsBoolean()) {
      run();
      if (System.nanoTime() - start > PATIENCE.toNanos()) {
        throw new IllegalStateException("still not so after " + PATIENCE);
      }
      Thread.onSpinWait();
    }
  }

  /** Used buffer notifications of a queue since the bench was made. */
  public int notifications(int queue) {
    return recorder.used[queue].get();
  }

  /** Configuration change notifications since the bench was made. */
  public int configurationChanges() {
    return recorder.configurationChanges.get();
  }

  /** Why a queue broke last; null when it never did. */
  public FaultReason brokenReason(int queue) {
    PeerFault fault = recorder.broken.get(queue);
    return fault == null ? null : fault.reason();
  }

  /**
   * Resets the device, ends the owner's thread, and frees the memory where it is the bench's own.
   */
  @Override
  public void close() {
    host.reset();
    try {
      if (owner instanceof ThreadOwner thread) {
        thread.close();
      }
    } finally {
      if (ownsMemory) {
        memory.close();
      }
    }
  }

  /** What the device told its transport, from any thread. */
  private static final class Recorder implements HostListener {
    private final AtomicInteger[] used;
    private final AtomicInteger configurationChanges = new AtomicInteger();
    private final AtomicReferenceArray<PeerFault> broken;

    Recorder(int queues) {
      used = new AtomicInteger[queues];
      for (int i = 0; i < queues; i++) {
        used[i] = new AtomicInteger();
      }
      broken = new AtomicReferenceArray<>(queues);
    }

    @Override
    public void usedBuffers(int queue) {
      used[queue].incrementAndGet();
    }

    @Override
    public void configurationChanged() {
      configurationChanges.incrementAndGet();
    }

    @Override
    public void queueBroken(int queue, PeerFault fault) {
      broken.set(queue, fault);
    }
  }
}
