// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

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
 *    |                               LIVE <--suspend, resume--> SUSPENDED
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
    /** It rests, with all that it has: no ring access and no notification on either side. */
    SUSPENDED,
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
  private final Initialization init;
  private final DeviceLife life;
  private final DeviceStates states;

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
    this.init = new Initialization(transport, ringFeatures);
    this.life = new DeviceLife(this, turn, this.executor, states, init);
    transport.setListener(life);
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

  /** What can be done with it. Any thread. */
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
    return life.driver();
  }

  /** The type of its driver, or null. Any thread. */
  public DriverType type() {
    return life.type();
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
      return life.start(type);
    }
  }

  /**
   * Makes the queues: {@link DriverTransport#findQueues}.
   *
   * @throws IllegalStateException outside of probe and restore, and after {@link #ready}
   */
  public List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException {
    try (ControlTurn _ = turn.take()) {
      return life.findQueues(requests);
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
      life.ready();
    }
  }

  /**
   * Resets the device: queues are broken, nothing comes back any more, and the queues may be
   * deleted. A device that does not answer is lost from then on. For remove and freeze.
   */
  public void reset() {
    inTurn(life::reset);
  }

  /**
   * Stops all callbacks and frees the queues.
   *
   * @throws IllegalStateException when the device was not reset
   */
  public void deleteQueues() {
    inTurn(life::deleteQueues);
  }

  /** {@link #reset} and {@link #deleteQueues}. */
  public void resetAndDelete() {
    inTurn(
        () -> {
          life.reset();
          life.deleteQueues();
        });
  }

  private void inTurn(Runnable action) {
    try (ControlTurn _ = turn.takeAnyway()) {
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
      life.stop();
    }
  }

  /** For the bus: starts the driver unless the device is not to be had; null then. */
  Driver offer(DriverType type, BooleanSupplier stillWanted) throws IOException {
    try (ControlTurn _ = turn.take()) {
      boolean free = driver() == null && (state() == State.NEW || state() == State.FAILED);
      return free && stillWanted.getAsBoolean() ? life.start(type) : null;
    }
  }

  /** For the bus: takes the driver away if it is of this type. */
  boolean stop(DriverType of) throws IOException {
    try (ControlTurn _ = turn.take()) {
      boolean mine = driver() != null && type() == of;
      if (mine) {
        life.stop();
      }
      return mine;
    }
  }

  /**
   * The driver declares its device broken: one that gave an answer which makes no sense, or none,
   * or whose queue broke while the driver polled it. All queues break, and {@link #recover} helps
   * from here. Any thread; never blocks.
   */
  public void declareBroken(PeerFault fault) {
    life.declareBroken(fault);
  }

  /** For the bus. */
  void freezeIfLive() throws IOException {
    try (ControlTurn _ = turn.take()) {
      if (state() == State.SUSPENDED) {
        life.resume(DriverQueueSet.OWNER_DEADLINE); // the driver may want to finish
      }
      if (state() == State.LIVE || state() == State.BROKEN) {
        life.freeze();
      }
    }
  }

  /** For the bus. */
  void restoreIfFrozen() throws IOException {
    try (ControlTurn _ = turn.take()) {
      if (state() == State.FROZEN) {
        life.restore();
      }
    }
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
      life.freeze();
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
      life.restore();
    }
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
    try (ControlTurn _ = turn.take()) {
      life.recover(deadline);
    }
  }

  /**
   * Suspends the device (virtio 1.4, Device Suspend): it finishes what it has taken, which comes
   * back, and then rests. Buffers may be added meanwhile and are not made available before {@link
   * #resume}; configuration changes are told then too.
   *
   * @throws IOException when it does not in time: it is broken then, and {@link #recover} helps.
   *     Also when the owner of a queue does not answer: then it is not suspended, and stays live
   * @throws IllegalStateException unless it is live, with VIRTIO_F_SUSPEND negotiated
   */
  public void suspend(Duration deadline) throws IOException {
    try (ControlTurn _ = turn.take()) {
      life.suspend(deadline);
    }
  }

  /** Ends {@link #suspend}; with the same errors. */
  public void resume(Duration deadline) throws IOException {
    try (ControlTurn _ = turn.take()) {
      life.resume(deadline);
    }
  }

  /** {@link #resizeQueue} to the size that the queue has. */
  public void resetQueue(int index, Consumer<Object> unused) throws IOException {
    resizeQueue(index, 0, unused);
  }

  /**
   * Resets one queue and enables it again, while the others run (virtio 1.4, Virtqueue Reset). What
   * was used before comes to its handler first. A queue without a callback should be idle.
   *
   * @param newSize as {@link DriverTransport#enableQueue}; 0 for the size that it has
   * @param unused gets the token of each buffer that the device did not use, on the queue's owner;
   *     may add it again
   * @throws IOException when that fails: the device is broken then, and {@link #recover} helps
   * @throws IllegalStateException unless it is live, with VIRTIO_F_RING_RESET negotiated where
   *     {@linkplain DriverTransport#needsRingReset needed}
   * @throws IllegalArgumentException when there is no such queue or it cannot have this size
   */
  public void resizeQueue(int index, int newSize, Consumer<Object> unused) throws IOException {
    try (ControlTurn _ = turn.take()) {
      life.resizeQueue(index, newSize, unused);
    }
  }

  /** Keeps configuration changes from the driver until {@link #enableConfigurationChanges}. */
  public void disableConfigurationChanges() {
    life.changes.disable();
  }

  /** Undoes one {@link #disableConfigurationChanges}. One that has arrived since is told now. */
  public void enableConfigurationChanges() {
    life.changes.enable();
  }

  /**
   * Takes the driver away, resets the device and closes the transport. Idempotent; never on a
   * queue's owner.
   */
  @Override
  public void close() {
    end();
  }

  /** {@link #close}, and whether there was a driver. */
  boolean end() {
    boolean bound = false;
    if (state() == State.REMOVED) {
      return false;
    }
    try (ControlTurn _ = turn.takeAnyway()) {
      bound = driver() != null;
      life.end();
    } catch (IOException | RuntimeException stuck) {
      // Whoever has the turn fails with the transport.
      LOG.log(Level.WARNING, name() + " is closed in spite of this", stuck);
      transport.breakQueues(new PeerFault(FaultReason.DEVICE_GONE, 0));
    }
    if (states.move(State.REMOVED, null)) {
      transport.close();
      executor.close();
    }
    return bound;
  }

  @Override
  public String toString() {
    return name() + " (" + state() + ")";
  }
}
