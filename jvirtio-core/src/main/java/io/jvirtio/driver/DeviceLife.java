// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;

/**
 * What happens to a {@link DriverDevice} from start to close. Every method wants the caller to have
 * the turn, but for {@link #look} and the transport's listener.
 */
final class DeviceLife implements TransportListener {
  private static final Logger LOG = System.getLogger(DeviceLife.class.getName());

  private final DriverDevice device;
  private final DriverTransport transport;
  private final ControlTurn turn;
  private final DeviceStates states;
  private final Initialization init;
  final ConfigurationChanges changes;

  private volatile Driver driver;
  private volatile DriverType type;

  /** Reset and not set up since: queues break for that reason, and may be deleted. */
  private volatile boolean isReset = true;

  /** The driver has let go of the device, and waits for restore. */
  private boolean frozen;

  /** Configuration changes are disabled since the device was suspended or the driver frozen. */
  private boolean held;

  /** In transport order; elements may be null. Null while there are none. */
  private List<DriverQueue> queues;

  /** What they were made for. */
  private List<QueueRequest> requests;

  DeviceLife(
      DriverDevice device,
      ControlTurn turn,
      ControlExecutor executor,
      DeviceStates states,
      Initialization init) {
    this.device = device;
    this.transport = device.transport();
    this.turn = turn;
    this.states = states;
    this.init = init;
    this.changes = new ConfigurationChanges(executor, this::look);
  }

  Driver driver() {
    return driver;
  }

  DriverType type() {
    return type;
  }

  private String name() {
    return transport.busName();
  }

  Driver start(DriverType wanted) throws IOException {
    State from = states.require("start", State.NEW, State.FAILED);
    if (driver != null) {
      throw new IllegalStateException(name() + " has a driver: " + type.name());
    }
    if (wanted.ids().stream().noneMatch(id -> id.matches(transport))) {
      throw new IOException(
          String.format(
              "driver %s does not drive device id %d at %s",
              wanted.name(), transport.deviceId(), name()));
    }
    changes.restart();
    held = false;
    frozen = false;
    type = wanted;
    try {
      states.advance(from, State.STARTING);
      begin();
      init.negotiate(type, () -> type.validate(device));
      states.advance(State.NEGOTIATED);
      driver = Objects.requireNonNull(type.probe(device), "probe");
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

  private void begin() throws IOException {
    isReset = true;
    init.reset();
    init.acknowledge();
    isReset = false;
  }

  void ready() throws IOException {
    if (states.state() != State.LIVE) {
      states.checkWhole();
      states.require("set DRIVER_OK", State.NEGOTIATED);
      init.driverOk();
      states.advance(State.LIVE);
      forQueues(DriverQueue::releaseNotifications);
    }
  }

  private void forQueues(Consumer<DriverQueue> action) {
    if (queues != null) {
      queues.stream().filter(Objects::nonNull).forEach(action);
    }
  }

  List<DriverQueue> findQueues(List<QueueRequest> wanted) throws IOException {
    states.require("make queues", State.NEGOTIATED);
    List<DriverQueue> made = transport.findQueues(wanted);
    queues = made;
    requests = new ArrayList<>(wanted); // elements may be null
    forQueues(DriverQueue::holdNotifications);
    return made;
  }

  void reset() {
    if (isReset || states.state() == State.LOST) {
      return;
    }
    isReset = true;
    try {
      init.reset();
    } catch (IOException e) {
      silent(e);
    }
  }

  void deleteQueues() {
    if (!isReset && states.state() != State.LOST) {
      throw new IllegalStateException(name() + " must be reset before its queues go");
    }
    if (queues != null) {
      queues = null;
      transport.deleteQueues();
    }
  }

  void stop() {
    if (driver != null) {
      removeDriver();
      states.move(State.NEW, null);
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
    if (queues != null || old != null) {
      reset();
      deleteQueues();
    }
    driver = null;
    type = null;
    frozen = false;
  }

  void freeze() throws IOException {
    states.require("freeze", State.LIVE, State.BROKEN);
    freezeDriver();
    // Lost meanwhile: it stays so, and recover goes on from there.
    states.move(State.FROZEN, null);
  }

  private void hold() {
    if (!held) {
      held = true;
      changes.disable();
    }
  }

  private void freezeDriver() throws IOException {
    hold();
    if (frozen) {
      return;
    }
    try {
      driver.freeze();
    } catch (IOException | RuntimeException | Error e) {
      if (isReset) { // too late to go on
        frozen = true;
        deleteQueues();
        fail(e);
      } else {
        release();
      }
      throw e;
    }
    frozen = true;
    reset();
    deleteQueues();
  }

  private void release() {
    if (held) {
      held = false;
      changes.enable();
    }
  }

  void suspend(Duration deadline) throws IOException {
    states.require("be suspended", State.LIVE);
    requireFeature(ReservedFeatures.VIRTIO_F_SUSPEND);
    try {
      onOwners(DriverQueue::suspend);
    } catch (IOException | RuntimeException e) {
      onOwners(DriverQueue::resume);
      throw e;
    }
    hold();
    try {
      init.suspend(deadline);
    } catch (IOException | RuntimeException e) {
      broke(asIOException(e));
      throw e;
    }
    states.advance(State.LIVE, State.SUSPENDED);
  }

  void resume(Duration deadline) throws IOException {
    states.require("resume", State.SUSPENDED);
    try {
      init.resume(deadline);
      states.advance(State.SUSPENDED, State.LIVE);
      onOwners(DriverQueue::resume);
    } catch (IOException | RuntimeException e) {
      broke(asIOException(e)); // some of the queues may rest still
      throw e;
    }
    release();
  }

  private void requireFeature(int bit) {
    if (!init.accepted().has(bit)) {
      throw new IllegalStateException(
          name() + " has not negotiated " + ReservedFeatures.nameOf(bit));
    }
  }

  /** On the owner of each queue; all are asked, also when one does not answer in time. */
  private void onOwners(Consumer<DriverQueue> action) throws IOException {
    IOException stuck = null;
    for (DriverQueue queue : queues == null ? List.<DriverQueue>of() : queues) {
      if (queue != null) {
        try {
          onOwner(queue, action);
        } catch (IOException e) {
          stuck = e;
        }
      }
    }
    if (stuck != null) {
      throw stuck;
    }
  }

  private void onOwner(DriverQueue queue, Consumer<DriverQueue> action) throws IOException {
    DriverQueueSet.onOwner(transport.queueOwner(queue.index()), () -> action.accept(queue));
  }

  /** It does not do what it must, so that nobody knows what it does. */
  private void broke(IOException why) {
    if (states.move(State.BROKEN, why)) {
      LOG.log(Level.WARNING, why.getMessage());
    }
    transport.breakQueues(new PeerFault(FaultReason.DEVICE_SILENT, 0));
  }

  void resizeQueue(int index, int newSize, Consumer<Object> unused) throws IOException {
    states.require("reset a queue", State.LIVE);
    if (transport.needsRingReset()) {
      requireFeature(ReservedFeatures.VIRTIO_F_RING_RESET);
    }
    boolean exists = queues != null && index >= 0 && index < queues.size();
    DriverQueue queue = exists ? queues.get(index) : null;
    if (queue == null) {
      throw new IllegalArgumentException(name() + " has no queue " + index);
    }
    int size = newSize == 0 ? queue.size() : newSize;
    boolean packed = init.accepted().has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    if (size > queue.maxSize()
        || !(packed ? PackedRing.isValidQueueSize(size) : SplitRing.isValidQueueSize(size))) {
      throw new IllegalArgumentException(queue + " cannot have size " + size);
    }
    try {
      new QueueRestart(transport, queue, requests.get(index).handler()).run(size, unused);
    } catch (IOException | RuntimeException e) {
      broke(asIOException(e));
      throw e;
    }
  }

  void restore() throws IOException {
    states.advance(states.require("restore", State.FROZEN), State.STARTING);
    setUpAgain();
  }

  private void setUpAgain() throws IOException {
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
        suppress(e, again);
      }
      if (queues != null) {
        reset();
        deleteQueues();
      }
      fail(e);
      throw e;
    }
    release();
  }

  void recover(Duration deadline) throws IOException {
    if (states.state() == State.LIVE) {
      return;
    }
    long start = System.nanoTime();
    states.require("recover", State.LOST, State.BROKEN, State.FAILED);
    if (driver != null) {
      freezeDriver();
    }
    // Left first, so that a device which is lost at once again is not overlooked.
    State from = states.require("recover", State.LOST, State.BROKEN, State.FAILED);
    states.advance(from, State.STARTING);
    if (from == State.LOST) {
      reconnect(deadline.minusNanos(System.nanoTime() - start));
    }
    if (driver != null) {
      setUpAgain();
    } else {
      states.move(State.NEW, null);
    }
  }

  private void reconnect(Duration deadline) throws IOException {
    try {
      transport.reconnect(deadline);
      isReset = true;
    } catch (IOException | RuntimeException | Error e) {
      states.move(State.LOST, asIOException(e));
      throw e;
    }
  }

  /** Takes the driver away and leaves the device reset. */
  void end() {
    removeDriver();
    reset();
  }

  /** Tells the device that its driver has given up, unless it is lost. */
  private void fail(Throwable why) {
    if (states.move(State.FAILED, asIOException(why))) {
      try {
        init.failed();
      } catch (IOException e) {
        suppress(why, e);
      }
    }
  }

  private static void suppress(Throwable in, Throwable what) {
    if (in != what) { // a transport may throw the same again and again
      in.addSuppressed(what);
    }
  }

  private IOException asIOException(Throwable why) {
    return why instanceof IOException io ? io : new IOException("the driver of " + name(), why);
  }

  private void silent(IOException why) {
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
      int status = transport.status();
      // The fields may have changed as well: that is told after the recovery.
      if ((status & DeviceStatus.DEVICE_NEEDS_RESET) != 0) {
        needsReset(status);
      } else if (changes.take()) {
        driver.configurationChanged();
      }
    } catch (ControlTurn.BusyException busy) {
      LOG.log(Level.WARNING, "configuration change put off: {0}", busy.getMessage());
      changes.arrived();
    } catch (IOException e) {
      silent(e);
    }
  }

  // In other states it is kept: the driver that comes back is told.
  private boolean mayLook() {
    return isUp() || states.state() == State.BROKEN;
  }

  private boolean isUp() {
    return states.state() == State.LIVE || states.state() == State.SUSPENDED;
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

  @Override
  public void configurationChanged() {
    changes.arrived();
  }

  @Override
  public void queueBroken(int queue, PeerFault fault) {
    // After a reset that is what queues are; a lost device has told why.
    if (!isReset && isUp()) {
      states.move(State.BROKEN, new IOException(name() + ", queue " + queue, fault));
    }
  }

  /** The driver found out by itself. */
  void declareBroken(PeerFault fault) {
    if (isUp()) {
      states.move(State.BROKEN, new IOException(name() + " is broken", fault));
    }
    transport.breakQueues(fault);
  }

  @Override
  public void lost(IOException reason) {
    states.move(State.LOST, reason);
  }
}
