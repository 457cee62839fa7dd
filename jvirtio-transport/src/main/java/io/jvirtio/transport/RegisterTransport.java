// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.SharedMemoryRegion;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A driver's way to a device through registers, by PCI or mmio.
 *
 * <p>The device is lost when an access throws an {@link IOException} that is no {@link
 * DeviceAnswerException}, or its status reads as all ones, as where there is nothing. Then all
 * queues break and the {@link TransportListener} is told; {@link #reconnect} looks whether it is
 * back.
 *
 * <p>Control plane: one thread at a time, but {@link #close}, which any thread may call and which
 * ends what waits. The status and the configuration are read without a lock, so callbacks of queues
 * may. Interrupts take no lock; they wake the owners of queues.
 */
public abstract class RegisterTransport implements DriverTransport {
  /** How long a device may take to reset itself or a queue, unless said otherwise. */
  public static final Duration RESET_DEADLINE = Duration.ofSeconds(10);

  private static final Logger LOG = System.getLogger(RegisterTransport.class.getName());

  /** Nobody has more queues than this: what registers that do not say are asked for, at most. */
  private static final int MOST_QUEUES = 1024;

  private final DriverRegisters registers;
  private final Duration resetDeadline;
  private final ConfigAccess config;
  private final DeviceReach reach;
  private final RegisterQueues queues;
  private final Notifications notifications = new Notifications();
  private final ReentrantLock control = new ReentrantLock();
  private final AtomicBoolean closed = new AtomicBoolean();

  private volatile TransportListener listener;

  // Under the control lock.
  private FeatureBits features = FeatureBits.NONE;
  private int countedQueues = -1;

  /**
   * A transport through these registers; the device is as it was left.
   *
   * @param registers belong to the transport from now on
   * @param resetDeadline how long the device may take to reset itself or a queue, positive
   */
  protected RegisterTransport(DriverRegisters registers, Duration resetDeadline) {
    if (resetDeadline.isNegative() || resetDeadline.isZero()) {
      throw new IllegalArgumentException("deadline " + resetDeadline);
    }
    this.registers = registers;
    this.resetDeadline = resetDeadline;
    this.config = new ConfigAccess(registers);
    this.reach = new DeviceReach(registers, this::deviceLost);
    this.queues = new RegisterQueues(registers, reach, this::driverQueueBroken);
  }

  /** What the device tells. */
  private final class Notifications implements DriverRegisters.Interrupts {
    @Override
    public void usedBuffers(int queue) {
      queues.used(queue);
    }

    @Override
    public void configurationChanged() {
      TransportListener hears = listener;
      if (hears != null && !reach.isClosed()) {
        hears.configurationChanged();
      }
    }

    @Override
    public void interrupt(int status) {
      if ((status & ~(DriverRegisters.ISR_QUEUE | DriverRegisters.ISR_CONFIG)) != 0) {
        reach.findOut(); // bits that no device sets: is there one?
      }
      if ((status & DriverRegisters.ISR_CONFIG) != 0) {
        configurationChanged();
      }
      if ((status & DriverRegisters.ISR_QUEUE) != 0) {
        queues.used();
      }
    }

    @Override
    public void failed(IOException reason) {
      reach.lost(reason);
    }
  }

  private void driverQueueBroken(int queue, PeerFault fault) {
    TransportListener hears = listener;
    if (hears != null) {
      hears.queueBroken(queue, fault);
    }
  }

  private void deviceLost(IOException reason) {
    queues.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
    TransportListener hears = listener;
    if (hears != null) {
      hears.lost(reason);
    }
  }

  // --- access ------------------------------------------------------------------------------

  private interface Turn<T> {
    T take() throws IOException;
  }

  /** By one thread at a time, unless closed or lost. */
  private <T> T locked(Turn<T> turn) throws IOException {
    control.lock();
    try {
      reach.check();
      return turn.take();
    } finally {
      control.unlock();
    }
  }

  private interface Step {
    void run() throws IOException;
  }

  private void lockedRun(Step step) throws IOException {
    locked(
        () -> {
          step.run();
          return null;
        });
  }

  // --- identity and status -----------------------------------------------------------------

  @Override
  public final String busName() {
    return registers.name();
  }

  @Override
  public final int deviceId() {
    return registers.deviceId();
  }

  @Override
  public final int vendorId() {
    return registers.vendorId();
  }

  @Override
  public final boolean isLegacy() {
    return registers.isLegacy();
  }

  @Override
  public final boolean isBigEndian() {
    return registers.isBigEndian();
  }

  @Override
  public final void setListener(TransportListener newListener) {
    listener = newListener;
  }

  @Override
  public final DriverMemory memory() {
    return registers.memory();
  }

  @Override
  public final int status() throws IOException {
    return reach.get(DeviceReach::status);
  }

  @Override
  public final void writeStatus(int status) throws IOException {
    if (status <= 0 || status > 0xff) {
      throw new IllegalArgumentException("status " + status);
    }
    lockedRun(() -> reach.run(device -> device.writeStatus(status)));
  }

  /**
   * {@inheritDoc}
   *
   * <p>Waits until the status reads as 0 (virtio 1.4, Common configuration structure layout, Driver
   * Requirements).
   */
  @Override
  public final void reset() throws IOException {
    try {
      lockedRun(() -> resetNow(resetDeadline));
    } finally {
      breakQueues(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, 0));
    }
  }

  private void resetNow(Duration deadline) throws IOException {
    reach.reset(deadline);
    features = FeatureBits.NONE;
    countedQueues = -1;
    queues.letGo();
  }

  // --- features and configuration ----------------------------------------------------------

  @Override
  public final FeatureBits carriedFeatures() {
    return registers.carriedFeatures();
  }

  @Override
  public final FeatureBits deviceFeatures() throws IOException {
    return locked(() -> reach.get(FeatureWords::read));
  }

  /**
   * {@inheritDoc}
   *
   * @throws IllegalArgumentException for features that the registers cannot carry
   */
  @Override
  public final void writeDriverFeatures(FeatureBits accepted) throws IOException {
    lockedRun(
        () -> {
          reach.run(device -> FeatureWords.write(device, accepted));
          features = accepted;
        });
  }

  @Override
  public final int configSize() throws IOException {
    return reach.get(DriverRegisters::configSize);
  }

  @Override
  public final void readConfig(int offset, byte[] target) throws IOException {
    reach.run(device -> config.read(offset, target));
  }

  @Override
  public final void writeConfig(int offset, byte[] source) throws IOException {
    reach.run(device -> config.write(offset, source));
  }

  @Override
  public final int configGeneration() throws IOException {
    return reach.get(DriverRegisters::configGeneration);
  }

  @Override
  public final SharedMemoryRegion sharedMemoryRegion(int id) throws IOException {
    return locked(() -> reach.get(device -> device.sharedMemoryRegion(id)));
  }

  // --- queues ------------------------------------------------------------------------------

  /**
   * {@inheritDoc}
   *
   * <p>Where the registers do not say, the number of the first queue that the device does not have.
   */
  @Override
  public final int queueCount() throws IOException {
    return locked(
        () -> {
          int said = reach.get(DriverRegisters::queueCount);
          return said >= 0 ? said : reach.get(this::count);
        });
  }

  private int count(DriverRegisters device) throws IOException {
    if (countedQueues < 0) {
      int next = 0;
      while (next < MOST_QUEUES && device.queueMaxSize(next) != 0) {
        next++;
      }
      countedQueues = next;
    }
    return countedQueues;
  }

  @Override
  public final int queueMaxSize(int queue) throws IOException {
    return queue < 0 || queue >= queueCount()
        ? 0
        : locked(() -> reach.get(device -> device.queueMaxSize(queue)));
  }

  /**
   * {@inheritDoc}
   *
   * <p>When it fails after the device was told of queues, the device is reset.
   */
  @Override
  public final List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException {
    return locked(
        () -> {
          if (!queues.isEmpty()) {
            throw new IllegalStateException(busName() + " has queues already");
          }
          int there = queueCount();
          if (requests.size() > there) {
            throw new IOException(busName() + " has " + there + " queues, not " + requests.size());
          }
          boolean done = false;
          try {
            List<DriverQueue> made = queues.find(requests, features, notifications);
            done = true;
            return made;
          } finally {
            if (!done) {
              takeBack();
            }
          }
        });
  }

  private void takeBack() {
    try {
      if (queues.isHeld()) {
        resetNow(resetDeadline);
      }
    } catch (IOException e) {
      LOG.log(Level.WARNING, busName() + " keeps queues", e);
    }
    deleteQueues();
  }

  /**
   * {@inheritDoc}
   *
   * <p>When the device was not reset, the memory of the queues is kept until it is.
   */
  @Override
  public final void deleteQueues() {
    control.lock();
    try {
      queues.delete();
    } catch (IOException stuck) {
      LOG.log(Level.WARNING, busName() + ": an owner keeps its queue", stuck);
    } finally {
      control.unlock();
    }
  }

  @Override
  public final void breakQueues(PeerFault fault) {
    queues.breakAll(fault);
  }

  @Override
  public final void synchronizeCallbacks() throws IOException {
    queues.synchronize();
  }

  @Override
  public final QueueOwner queueOwner(int queue) throws IOException {
    return queues.owner(queue);
  }

  @Override
  public final int notificationId(int queue) {
    return queues.id(queue);
  }

  @Override
  public final void setOwner(int queue, QueueOwner owner) throws IOException {
    control.lock();
    try {
      queues.setOwner(queue, owner);
    } finally {
      control.unlock();
    }
  }

  @Override
  public final void resetQueue(int queue) throws IOException {
    lockedRun(
        () -> {
          if (!features.has(ReservedFeatures.VIRTIO_F_RING_RESET)) {
            throw new IOException(busName() + " has not negotiated VIRTIO_F_RING_RESET");
          }
          queues.startReset(queue);
          reach.await(
              "reset of queue " + queue,
              resetDeadline,
              device -> {
                DeviceReach.status(device); // one that is gone resets nothing
                return !device.isQueueResetting(queue);
              });
          queues.wasReset(queue);
        });
  }

  @Override
  public final void enableQueue(int queue, int newSize) throws IOException {
    lockedRun(() -> queues.enable(queue, newSize));
  }

  // --- life --------------------------------------------------------------------------------

  @Override
  public final boolean canReconnect() {
    return true;
  }

  /**
   * {@inheritDoc}
   *
   * <p>Looks whether the registers can be reached, and resets the device.
   */
  @Override
  public final void reconnect(Duration deadline) throws IOException {
    control.lock();
    try {
      if (!queues.isEmpty()) {
        throw new IllegalStateException("queues must be deleted before");
      }
      if (reach.isClosed()) {
        throw new IOException(busName() + " is closed");
      }
      reach.anyway(
          device -> {
            device.reconnect();
            return null;
          });
      resetNow(deadline);
      reach.found();
    } finally {
      control.unlock();
    }
  }

  /**
   * {@inheritDoc}
   *
   * <p>Resets the device, which may take as long as a reset may; breaks all queues, and takes them
   * from their owners. Never on a queue's owner with a thread of its own.
   */
  @Override
  public final void close() {
    if (!closed.compareAndSet(false, true)) {
      return;
    }
    reach.beginClose();
    queues.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
    control.lock();
    try {
      reach.close(); // from here on only this thread waits
      if (!reach.isLost()) {
        resetNow(resetDeadline);
      }
    } catch (IOException e) {
      LOG.log(Level.WARNING, busName() + " is closed without a reset", e);
    } finally {
      end();
      control.unlock();
    }
  }

  private void end() {
    try {
      queues.delete();
      registers.close();
    } catch (IOException stuck) {
      // It may still look at a ring, which must not be unmapped under it.
      LOG.log(Level.ERROR, busName() + " stays open: an owner keeps its queue", stuck);
    }
  }
}
