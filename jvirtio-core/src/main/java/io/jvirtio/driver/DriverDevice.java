// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;

/**
 * One device as drivers see it: initialisation in the order of the specification, features,
 * configuration, queues, and what may happen to it later.
 *
 * <pre>
 *          start              FEATURES_OK              DRIVER_OK
 *   NEW ---------> STARTING -------------> NEGOTIATED ----------> LIVE
 *    ^              ^  ^                                           | |
 *    | stop         |  '--restore-- FROZEN <--------freeze---------' |
 *    |              '-----recover-- BROKEN <--needs reset------------'
 *    |
 *   every state but REMOVED --transport lost--> LOST --recover--> STARTING
 *   STARTING, NEGOTIATED, LIVE --error of a step--> FAILED --start, recover--> STARTING
 *   every state --close--> REMOVED
 * </pre>
 *
 * <p>Thread-safe. One thread at a time has its turn on a device, and keeps it while driver code
 * runs, so no two calls of one driver overlap; nobody waits for the turn without end. A queue's
 * owner never may wait for the turn: its callbacks only use the methods that say "any thread". The
 * transport's thread does not either: what it tells is handled by an executor, by default a daemon
 * thread of this device's own, which exists only while there is something to do. An executor that
 * runs tasks at once is for tests and emulators that have only one thread.
 */
public final class DriverDevice implements AutoCloseable {
  private static final Logger LOG = System.getLogger(DriverDevice.class.getName());

  /** What can be done with the device. */
  public enum State {
    /** Nothing was said to the device yet, or it was reset and has no driver. */
    NEW,
    /** It is reset and acknowledged, and features are negotiated. */
    STARTING,
    /** Features are final; the driver sets up queues. */
    NEGOTIATED,
    /** DRIVER_OK. */
    LIVE,
    /** It was reset on purpose; the driver waits for {@link DriverDevice#restore}. */
    FROZEN,
    /** It needs a reset, or broke a queue: {@link DriverDevice#recover} helps. */
    BROKEN,
    /** It cannot be reached; {@link DriverDevice#recover} may find it again. */
    LOST,
    /** Its driver has given up. */
    FAILED,
    /** Closed. */
    REMOVED;
  }

  /** Hears of changes of the state, in their order, on the device's executor. */
  @FunctionalInterface
  public interface StateListener {
    /** The device has gone from one state to another; it may be in a third by now. */
    void changed(DriverDevice device, State from, State to);
  }

  private final DriverTransport transport;
  private final ControlTurn turn;
  private final ControlExecutor executor;
  private final ConfigurationChanges changes;
  private final Initialization init;
  private final DeviceStates states;
  private volatile Driver driver;
  private volatile DriverType type;

  /** Reset and not set up since: queues break for that reason, and may be deleted. */
  private volatile boolean isReset = true;

  /** The driver has let go of the device, and waits for restore. */
  private boolean frozen;

  /** Configuration changes are disabled since the driver was frozen. */
  private boolean held;

  private boolean haveQueues;

  /** A device with all ring features and an executor of its own; nothing is said to it yet. */
  public DriverDevice(DriverTransport transport) {
    this(transport, ringFeatures());
  }

  /** As {@link #DriverDevice(DriverTransport)}, with some reserved features only. */
  public DriverDevice(DriverTransport transport, FeatureBits ringFeatures) {
    this(transport, ringFeatures, null);
  }

  /**
   * A device to which nothing has been said yet.
   *
   * @param transport belongs to this object from now on
   * @param ringFeatures the reserved features that may be accepted; those that are not implemented
   *     are left out, and VIRTIO_F_VERSION_1 is always accepted
   * @param executor where notifications are handled; null for a thread of the device's own
   */
  public DriverDevice(DriverTransport transport, FeatureBits ringFeatures, Executor executor) {
    this.transport = transport;
    this.turn = new ControlTurn(transport.busName());
    this.executor = new ControlExecutor(executor, transport.busName());
    this.states = new DeviceStates(this, this.executor);
    this.changes = new ConfigurationChanges(this.executor, this::look);
    this.init = new Initialization(transport, ringFeatures);
    transport.setListener(new Listener());
  }

  /** The reserved features that are implemented, for every driver. */
  public static FeatureBits ringFeatures() {
    return FeatureChoice.IMPLEMENTED;
  }

  /**
   * Drives a device without a bus. The driver is done when its device is closed.
   *
   * @param kind the driver's class, as {@code type} makes it
   * @throws IOException as {@link #start}; the transport is closed then
   */
  public static <D extends Driver> D open(DriverTransport transport, DriverType type, Class<D> kind)
      throws IOException {
    DriverDevice device = new DriverDevice(transport);
    try {
      return kind.cast(device.start(type));
    } catch (IOException | RuntimeException | Error e) {
      device.close();
      throw e;
    }
  }

  /** How it is reached. Any thread. */
  public DriverTransport transport() {
    return transport;
  }

  /** The virtio device id. Any thread. */
  public int deviceId() {
    return transport.deviceId();
  }

  /** Where it is, for people. Any thread. */
  public String name() {
    return transport.busName();
  }

  /** Any thread. */
  public State state() {
    return states.state();
  }

  /** Why it is broken, lost or failed; null in other states. Any thread. */
  public IOException failure() {
    return states.failure();
  }

  /** Whether DRIVER_OK is set. Any thread. */
  public boolean isReady() {
    return state() == State.LIVE;
  }

  /** Its driver, or null. Any thread. */
  public Driver driver() {
    return driver;
  }

  /** The type of its driver, or null. Any thread. */
  public DriverType type() {
    return type;
  }

  /** Adds a listener. Any thread. */
  public void onStateChange(StateListener listener) {
    states.listen(listener);
  }

  /** What the device offered when it was last asked; nothing before the start. Any thread. */
  public FeatureBits offeredFeatures() {
    return init.offered();
  }

  /** The negotiated features; during validate those that would be accepted. Any thread. */
  public FeatureBits features() {
    return init.accepted();
  }

  /** Whether a feature is in {@link #features}. Any thread. */
  public boolean hasFeature(int bit) {
    return features().has(bit);
  }

  /**
   * Gives up a feature. Others that need it are given up as well.
   *
   * @throws IllegalStateException anywhere but in {@link DriverType#validate}
   * @throws IllegalArgumentException for VIRTIO_F_VERSION_1
   */
  public void clearFeature(int bit) {
    if (!turn.isMine()) {
      throw new IllegalStateException("features can only be given up during validate");
    }
    init.clearFeature(bit);
  }

  /** The configuration in the layout of the device's type. Any thread. */
  public DriverConfig config() {
    DeviceType spec = DeviceType.of(deviceId());
    return config(spec == null ? Struct.EMPTY : spec.config());
  }

  /** The configuration in a layout of the driver's. Any thread. */
  public DriverConfig config(Struct layout) {
    DriverConfig.Session session =
        new DriverConfig.Session() {
          @Override
          public FeatureBits features() {
            return state() == State.STARTING ? init.offered() : init.accepted();
          }

          @Override
          public void checkWritable() {
            states.require("write the configuration", State.NEGOTIATED, State.LIVE, State.BROKEN);
          }
        };
    return new DriverConfig(transport, layout, session, turn);
  }

  /**
   * Does the whole initialisation: reset, ACKNOWLEDGE, DRIVER, features, validate, FEATURES_OK,
   * probe, DRIVER_OK, scan (virtio 1.4, Device Initialization). When any step fails, the device is
   * told FAILED, and can be started again, also with another driver.
   *
   * @throws NegotiationException when there are no features that both can work with
   * @throws IOException when the device fails or does not answer, or the driver does not want it
   * @throws IllegalStateException when there is a driver, or the device is lost or removed
   * @throws IllegalArgumentException for a driver type that claims reserved features
   */
  public Driver start(DriverType type) throws IOException {
    FeatureChoice.check(type);
    try (ControlTurn _ = turn.take()) {
      states.require("start", State.NEW, State.FAILED);
      if (driver != null) {
        throw new IllegalStateException(name() + " has a driver: " + this.type.name());
      }
      if (type.ids().stream().noneMatch(id -> id.matches(transport))) {
        throw new IOException(
            "driver " + type.name() + " does not drive device id " + deviceId() + " at " + name());
      }
      changes.restart();
      held = false;
      frozen = false;
      this.type = type;
      try {
        begin();
        init.negotiate(type, () -> type.validate(this));
        states.advance(State.NEGOTIATED);
        driver = Objects.requireNonNull(type.probe(this), "probe");
        ready();
        driver.scan();
      } catch (IOException | RuntimeException | Error e) {
        removeDriver();
        fail(e);
        throw e;
      }
      changes.enable();
      return driver;
    }
  }

  private void begin() throws IOException {
    states.advance(State.STARTING);
    isReset = true;
    init.reset();
    init.acknowledge();
    isReset = false;
  }

  /**
   * Makes the queues: {@link DriverTransport#findQueues}.
   *
   * @throws IllegalStateException outside of probe and restore, and after {@link #ready}
   */
  public List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException {
    try (ControlTurn _ = turn.take()) {
      states.require("make queues", State.NEGOTIATED);
      List<DriverQueue> queues = transport.findQueues(requests);
      haveQueues = true;
      return queues;
    }
  }

  /**
   * Sets DRIVER_OK, for a driver that needs the device in its probe already. Does nothing when the
   * device is live.
   *
   * @throws IOException when the device cannot be told, or is broken or lost
   * @throws IllegalStateException outside of probe and restore
   */
  public void ready() throws IOException {
    try (ControlTurn _ = turn.take()) {
      if (state() == State.LIVE) {
        return;
      }
      states.checkWhole();
      states.require("set DRIVER_OK", State.NEGOTIATED);
      init.driverOk();
      states.advance(State.LIVE);
    }
  }

  /**
   * Resets the device: queues are broken, nothing comes back any more, and the queues may be
   * deleted. A device that does not answer is lost from then on. For remove and freeze.
   */
  public void reset() {
    inTurn(this::resetDevice);
  }

  private void resetDevice() {
    if (isReset || state() == State.LOST) {
      return;
    }
    isReset = true;
    try {
      init.reset();
    } catch (IOException e) {
      declareLost(e);
    }
  }

  /**
   * Stops all callbacks and frees the queues.
   *
   * @throws IllegalStateException when the device was not reset
   */
  public void deleteQueues() {
    inTurn(
        () -> {
          if (!isReset && state() != State.LOST) {
            throw new IllegalStateException(name() + " must be reset before its queues go");
          }
          if (haveQueues) {
            haveQueues = false;
            transport.deleteQueues();
          }
        });
  }

  /** {@link #reset} and {@link #deleteQueues}. */
  public void resetAndDelete() {
    inTurn(
        () -> {
          resetDevice();
          deleteQueues();
        });
  }

  private void inTurn(Runnable action) {
    try (ControlTurn _ = turn.take()) {
      action.run();
    } catch (IOException e) {
      throw new IllegalStateException(e.getMessage(), e);
    }
  }

  /**
   * Takes the driver away; what is in flight fails. The device can be started again. Does nothing
   * without a driver.
   *
   * @throws IOException when another thread keeps its turn on the device
   */
  public void stop() throws IOException {
    try (ControlTurn _ = turn.take()) {
      if (driver != null) {
        removeDriver();
        states.move(State.NEW, null);
      }
    }
  }

  private void removeDriver() {
    changes.restart();
    Driver old = driver;
    if (old != null) {
      try {
        old.remove();
      } catch (RuntimeException | Error bug) {
        LOG.log(Level.ERROR, name() + ": driver " + type.name() + " failed to go", bug);
      }
    }
    if (haveQueues || old != null) {
      resetAndDelete();
    }
    driver = null;
    type = null;
    frozen = false;
  }

  /**
   * Stops using the device for a while, such as before a snapshot: the driver lets go of it, and it
   * is reset.
   *
   * @throws IOException when the driver cannot; the device then goes on as it was
   * @throws IllegalStateException unless it is live or broken
   */
  public void freeze() throws IOException {
    try (ControlTurn _ = turn.take()) {
      states.require("freeze", State.LIVE, State.BROKEN);
      freezeDriver();
      states.move(State.FROZEN, null);
    }
  }

  private void freezeDriver() throws IOException {
    if (!held) {
      held = true;
      changes.disable();
    }
    if (frozen) {
      return;
    }
    try {
      driver.freeze();
    } catch (IOException | RuntimeException | Error e) {
      if (isReset) { // too late to go on
        frozen = true;
        resetAndDelete();
        fail(e);
      } else {
        release();
      }
      throw e;
    }
    frozen = true;
    resetAndDelete();
  }

  private void release() {
    if (held) {
      held = false;
      changes.enable();
    }
  }

  /**
   * Sets the device up again after {@link #freeze}, with the features that it had.
   *
   * @throws NegotiationException when the device does not offer them any more
   * @throws IOException when a step fails; {@link #recover} may help later
   * @throws IllegalStateException unless it is frozen
   */
  public void restore() throws IOException {
    try (ControlTurn _ = turn.take()) {
      states.require("restore", State.FROZEN);
      resume();
    }
  }

  private void resume() throws IOException {
    try {
      begin();
      init.renegotiate();
      states.advance(State.NEGOTIATED);
      driver.restore();
      frozen = false;
      ready();
    } catch (IOException | RuntimeException | Error e) {
      try {
        freezeDriver();
      } catch (IOException | RuntimeException again) {
        e.addSuppressed(again);
      }
      resetAndDelete();
      fail(e);
      throw e;
    }
    release();
  }

  /**
   * Makes a device that is lost, broken or failed work again: its driver lets go of it and keeps or
   * fails what is in flight, a lost device is found again, the same features are negotiated, and
   * the driver goes on. Does nothing when the device is live.
   *
   * @param deadline how long to look for a lost device
   * @throws NegotiationException when the device does not offer its features any more
   * @throws IOException when that does not succeed; it can be tried again
   * @throws IllegalStateException for a device that is frozen or removed, or was never started
   */
  public void recover(Duration deadline) throws IOException {
    long start = System.nanoTime();
    try (ControlTurn _ = turn.take()) {
      if (state() == State.LIVE) {
        return;
      }
      states.require("recover", State.LOST, State.BROKEN, State.FAILED);
      if (driver != null) {
        freezeDriver();
      }
      if (state() == State.LOST) {
        reconnect(deadline.minusNanos(System.nanoTime() - start));
      }
      if (driver != null) {
        resume();
      } else {
        states.move(State.NEW, null);
      }
    }
  }

  private void reconnect(Duration deadline) throws IOException {
    // First, so that a connection which is lost at once again is not overlooked.
    states.advance(State.STARTING);
    try {
      transport.reconnect(deadline);
      isReset = true;
    } catch (IOException | RuntimeException | Error e) {
      states.move(State.LOST, asIOException(e));
      throw e;
    }
  }

  /** Keeps configuration changes from the driver until {@link #enableConfigurationChanges}. */
  public void disableConfigurationChanges() {
    changes.disable();
  }

  /** Undoes one {@link #disableConfigurationChanges}. One that has arrived since is told now. */
  public void enableConfigurationChanges() {
    changes.enable();
  }

  /** Tells the device that its driver has given up, unless it is lost. */
  private void fail(Throwable why) {
    if (states.move(State.FAILED, asIOException(why))) {
      try {
        init.failed();
      } catch (IOException e) {
        why.addSuppressed(e);
      }
    }
  }

  private IOException asIOException(Throwable why) {
    return why instanceof IOException io ? io : new IOException("the driver of " + name(), why);
  }

  private void declareLost(IOException why) {
    if (states.move(State.LOST, why)) {
      LOG.log(Level.WARNING, "{0} does not answer: {1}", name(), why.getMessage());
      transport.breakQueues(new PeerFault(FaultReason.DEVICE_SILENT, 0));
    }
  }

  /** On the executor: a configuration change notification has arrived, or may be told now. */
  private void look() {
    changes.looking();
    if (!mayLook()) {
      return;
    }
    try (ControlTurn _ = turn.take()) {
      if (!mayLook()) {
        return;
      }
      int status;
      try {
        status = transport.status();
      } catch (IOException e) {
        declareLost(e);
        return;
      }
      if ((status & DeviceStatus.DEVICE_NEEDS_RESET) != 0) {
        needsReset(status);
      } else if (changes.take()) {
        driver.configurationChanged();
      }
    } catch (IOException busy) {
      LOG.log(Level.WARNING, "configuration change put off: {0}", busy.getMessage());
      changes.arrived();
    }
  }

  // In other states it is kept: the driver that comes or comes back is told.
  private boolean mayLook() {
    return state() == State.LIVE || state() == State.BROKEN;
  }

  private void needsReset(int status) {
    IOException why =
        new IOException(
            "the device at " + name() + " needs a reset: " + DeviceStatus.describe(status));
    if (states.move(State.BROKEN, why)) {
      LOG.log(Level.WARNING, why.getMessage());
      transport.breakQueues(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, status));
    }
  }

  /**
   * Takes the driver away, resets the device and closes the transport. Idempotent; never on a
   * queue's owner.
   */
  @Override
  public void close() {
    if (state() == State.REMOVED) {
      return;
    }
    try (ControlTurn _ = turn.take()) {
      removeDriver();
      resetDevice();
    } catch (IOException stuck) {
      // Whoever has the turn fails with the transport.
      LOG.log(Level.WARNING, "closed in spite of this: {0}", stuck.getMessage());
      transport.breakQueues(new PeerFault(FaultReason.DEVICE_GONE, 0));
    }
    if (states.move(State.REMOVED, null)) {
      transport.close();
      executor.close();
    }
  }

  @Override
  public String toString() {
    return name() + " (" + state() + ")";
  }

  /** What the transport tells, on any thread. */
  private final class Listener implements TransportListener {
    @Override
    public void configurationChanged() {
      changes.arrived();
    }

    @Override
    public void queueBroken(int queue, PeerFault fault) {
      // After a reset that is what queues are; a lost device has told why.
      if (!isReset && state() == State.LIVE) {
        states.move(State.BROKEN, new IOException(name() + ", queue " + queue, fault));
      }
    }

    @Override
    public void lost(IOException reason) {
      states.move(State.LOST, reason);
    }
  }
}
