// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * Devices and drivers that find each other, whichever comes first.
 *
 * <p>A device is offered to the registered driver types that match it, in the order of their
 * registration, until one takes it: validates and probes. One that fails hurts no other. A device
 * that nobody takes stays, for a driver that comes later.
 *
 * <p>Thread-safe. The bus's own lock guards its two tables and is never held while driver code, a
 * transport or a listener runs; what must not overlap for one device is ordered by that device.
 * Never on a queue's owner.
 */
public final class VirtioBus implements AutoCloseable {
  private static final Logger LOG = System.getLogger(VirtioBus.class.getName());

  private final FeatureBits ringFeatures;
  private final Executor executor;
  private final List<BusListener> listeners = new CopyOnWriteArrayList<>();

  /** Guards the tables. */
  private final Object lock = new Object();

  private final List<DriverDevice> devices = new ArrayList<>();
  private final List<DriverType> types = new ArrayList<>();
  private boolean closed;

  /** A bus without devices and drivers, whose devices may use all ring features. */
  public VirtioBus() {
    this(DriverDevice.ringFeatures(), null);
  }

  /**
   * A bus without devices and drivers.
   *
   * @param ringFeatures the reserved features that may be accepted
   * @param executor where notifications of all devices are handled; null for a thread of each
   *     device's own, so that no device can hold up another
   */
  public VirtioBus(FeatureBits ringFeatures, Executor executor) {
    this.ringFeatures = Objects.requireNonNull(ringFeatures);
    this.executor = executor;
  }

  /** Adds a listener. */
  public void listen(BusListener listener) {
    listeners.add(Objects.requireNonNull(listener));
  }

  /** The devices, in the order in which they came. */
  public List<DriverDevice> devices() {
    synchronized (lock) {
      return List.copyOf(devices);
    }
  }

  /** The driver types, in the order in which they came. */
  public List<DriverType> drivers() {
    synchronized (lock) {
      return List.copyOf(types);
    }
  }

  /**
   * Adds a device and looks for its driver.
   *
   * @param transport belongs to the bus from now on
   * @return the device; {@link DriverDevice#driver} is null when no driver took it, and {@link
   *     DriverDevice#failure} says why the last one did not
   * @throws IllegalStateException when the bus is closed; the transport stays the caller's then
   */
  public DriverDevice add(DriverTransport transport) {
    DriverDevice device = new DriverDevice(transport, ringFeatures, executor);
    device.onStateChange(this::changed);
    synchronized (lock) {
      if (closed) {
        transport.setListener(null);
        throw new IllegalStateException("the bus is closed");
      }
      devices.add(device);
    }
    for (DriverType type : drivers()) {
      if (offer(device, type)) {
        break;
      }
    }
    return device;
  }

  /**
   * Takes a device away, as when it was unplugged: its driver is removed, what is in flight fails,
   * the transport is closed. Does nothing for a device that is not on the bus any more.
   */
  public void remove(DriverDevice device) {
    synchronized (lock) {
      if (!devices.contains(device)) {
        return;
      }
    }
    close(device);
    // Only now, so that whoever unregisters a driver type meanwhile waits for its driver here too.
    synchronized (lock) {
      devices.remove(device);
    }
  }

  private void close(DriverDevice device) {
    if (device.end()) {
      tell(listener -> listener.unbound(device));
    }
  }

  /**
   * Adds a driver type, and offers it the devices that nobody drives.
   *
   * @throws IllegalArgumentException when it claims reserved features, or is there already
   * @throws IllegalStateException when the bus is closed
   */
  public void register(DriverType type) {
    FeatureChoice.check(type);
    synchronized (lock) {
      if (closed) {
        throw new IllegalStateException("the bus is closed");
      }
      if (types.contains(type)) {
        throw new IllegalArgumentException("driver " + type.name() + " is registered already");
      }
      types.add(type);
    }
    for (DriverDevice device : devices()) {
      offer(device, type);
    }
  }

  /**
   * Takes a driver type away, and its drivers from their devices, which stay on the bus. Does
   * nothing for one that is not registered.
   *
   * @throws IOException when a device is busy for too long; the other devices are done
   */
  public void unregister(DriverType type) throws IOException {
    synchronized (lock) {
      if (!types.remove(type)) {
        return;
      }
    }
    IOException failure = null;
    for (DriverDevice device : devices()) {
      try {
        if (device.stop(type)) {
          tell(listener -> listener.unbound(device));
        }
      } catch (IOException e) {
        failure = collect(failure, e);
      }
    }
    if (failure != null) {
      throw failure;
    }
  }

  private boolean isRegistered(DriverType type) {
    synchronized (lock) {
      return types.contains(type);
    }
  }

  /** Whether the device has a driver now. */
  private boolean offer(DriverDevice device, DriverType type) {
    if (type.ids().stream().noneMatch(id -> id.matches(device.transport()))) {
      return false;
    }
    try {
      // Asked again in the device's turn, as the type may have been unregistered meanwhile.
      Driver driver = device.offer(type, () -> isRegistered(type));
      if (driver != null) {
        tell(listener -> listener.bound(device, driver));
      }
    } catch (IOException e) {
      LOG.log(
          Level.WARNING,
          "driver {0} does not take {1}: {2}",
          type.name(),
          device.name(),
          e.getMessage());
      tell(listener -> listener.failed(device, type, e));
    } catch (RuntimeException | Error bug) {
      LOG.log(Level.ERROR, "driver " + type.name() + " failed on " + device.name(), bug);
      IOException reason = new IOException("driver " + type.name() + " failed", bug);
      tell(listener -> listener.failed(device, type, reason));
    }
    return device.driver() != null;
  }

  private void changed(DriverDevice device, State from, State to) {
    if (to == State.LOST) {
      tell(listener -> listener.lost(device));
    } else if (to == State.BROKEN) {
      tell(listener -> listener.broken(device));
    }
  }

  private void tell(Consumer<BusListener> what) {
    for (BusListener listener : listeners) {
      try {
        what.accept(listener);
      } catch (RuntimeException | Error bug) {
        LOG.log(Level.ERROR, "a listener of the bus failed", bug);
      }
    }
  }

  /**
   * Freezes all live devices, the last one first. One that cannot goes on as it was.
   *
   * @throws IOException when some could not; the others are frozen
   */
  public void freeze() throws IOException {
    forAll(devices().reversed(), DriverDevice::freezeIfLive);
  }

  /**
   * Restores all frozen devices, the first one first.
   *
   * @throws IOException when some could not, which have failed now; the others are live
   */
  public void restore() throws IOException {
    forAll(devices(), DriverDevice::restoreIfFrozen);
  }

  private interface Step {
    void run(DriverDevice device) throws IOException;
  }

  private void forAll(List<DriverDevice> all, Step step) throws IOException {
    IOException failure = null;
    for (DriverDevice device : all) {
      DriverType type = device.type();
      try {
        step.run(device);
      } catch (IOException | RuntimeException | Error e) {
        IOException reason = e instanceof IOException io ? io : new IOException(device.name(), e);
        tell(listener -> listener.failed(device, type, reason));
        failure = collect(failure, reason);
      }
    }
    if (failure != null) {
      throw failure;
    }
  }

  private static IOException collect(IOException first, IOException next) {
    if (first == null) {
      return new IOException(next.getMessage(), next);
    }
    first.addSuppressed(next);
    return first;
  }

  /** Removes all devices, the last one first, and all driver types. Idempotent. */
  @Override
  public void close() {
    List<DriverDevice> all;
    synchronized (lock) {
      closed = true;
      types.clear();
      all = List.copyOf(devices).reversed();
    }
    all.forEach(this::remove);
  }
}
