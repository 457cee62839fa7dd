// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.time.Duration;

/**
 * The steps of an initialisation in the order of the specification (virtio 1.4, General
 * Initialization And Device Operation / Device Initialization), and what they have led to. One
 * thread at a time; other threads may read the features.
 *
 * <pre>
 *   reset | ACKNOWLEDGE | DRIVER | read features, validate | write features
 *         | FEATURES_OK | still set? | device-specific setup | DRIVER_OK
 *         '-- not on the legacy interface --'
 * </pre>
 */
final class Initialization {
  /** The driver type's say, while features are not final. */
  interface Validation {
    void run() throws IOException;
  }

  private final DriverTransport transport;
  private final FeatureBits allowed;

  /** The bits that were set since the last reset. */
  private int status;

  private boolean validating;
  private volatile FeatureBits offered = FeatureBits.NONE;
  private volatile FeatureBits accepted = FeatureBits.NONE;

  Initialization(DriverTransport transport, FeatureBits allowed) {
    this.transport = transport;
    this.allowed = allowed;
  }

  /** What the device offered last. Any thread. */
  FeatureBits offered() {
    return offered;
  }

  /** What is accepted, or would be as things stand. Any thread. */
  FeatureBits accepted() {
    return accepted;
  }

  /** Resets the device. */
  void reset() throws IOException {
    status = 0;
    transport.reset();
  }

  /** The device has been found, and there is a driver for it. */
  void acknowledge() throws IOException {
    addStatus(DeviceStatus.ACKNOWLEDGE);
    addStatus(DeviceStatus.DRIVER);
  }

  /**
   * Agrees on the features that a driver type and the device have in common.
   *
   * @throws NegotiationException when that is too little, or the device refuses
   */
  void negotiate(DriverType type, Validation validation) throws IOException {
    offered = transport.deviceFeatures();
    accepted = FeatureChoice.choose(transport, type, offered, allowed);
    FeatureChoice.require(transport, type, offered, accepted);
    validating = true;
    try {
      validation.run();
    } finally {
      validating = false;
    }
    accepted = FeatureChoice.withoutOrphans(transport.deviceId(), accepted);
    FeatureChoice.require(transport, type, offered, accepted);
    finish();
  }

  /**
   * Agrees on the same features as before.
   *
   * @throws NegotiationException when the device does not offer them all any more, or refuses
   */
  void renegotiate() throws IOException {
    offered = transport.deviceFeatures();
    FeatureBits missing = accepted.minus(offered);
    if (!missing.isEmpty()) {
      throw new NegotiationException(
          "the device at "
              + transport.busName()
              + " no longer offers what its driver works with: "
              + FeatureChoice.names(transport.deviceId(), missing));
    }
    finish();
  }

  private void finish() throws IOException {
    transport.writeDriverFeatures(accepted);
    if (transport.isLegacy()) {
      return;
    }
    addStatus(DeviceStatus.FEATURES_OK);
    int now = transport.status();
    if ((now & DeviceStatus.FEATURES_OK) == 0) {
      status &= ~DeviceStatus.FEATURES_OK;
      throw new NegotiationException(
          "the device at "
              + transport.busName()
              + " refuses the features "
              + FeatureChoice.names(transport.deviceId(), accepted)
              + " (status "
              + DeviceStatus.describe(now)
              + ")");
    }
  }

  /** Gives up a feature, during validation. */
  void clearFeature(int bit) {
    if (!validating) {
      throw new IllegalStateException("features can only be given up during validate");
    }
    if (bit == ReservedFeatures.VIRTIO_F_VERSION_1) {
      throw new IllegalArgumentException("VIRTIO_F_VERSION_1 must be accepted");
    }
    accepted = accepted.without(bit);
  }

  /** The device is live. */
  void driverOk() throws IOException {
    addStatus(DeviceStatus.DRIVER_OK);
  }

  /**
   * Suspends the device, and returns once it is (virtio 1.4, Device Suspend).
   *
   * @throws IOException when it needs a reset, or is not suspended in time
   */
  void suspend(Duration deadline) throws IOException {
    addStatus(DeviceStatus.SUSPEND);
    await(DeviceStatus.SUSPEND, DeviceStatus.DRIVER_OK, deadline);
  }

  /** Ends {@link #suspend}, with the same errors. */
  void resume(Duration deadline) throws IOException {
    addStatus(DeviceStatus.DRIVER_OK);
    await(DeviceStatus.DRIVER_OK, DeviceStatus.SUSPEND, deadline);
  }

  /** Waits until one bit is set and the other is not: these two the device changes itself. */
  private void await(int set, int clear, Duration deadline) throws IOException {
    long start = System.nanoTime();
    while (true) {
      int now = transport.status();
      status = status & ~(set | clear) | now & (set | clear);
      String what =
          "the device at " + transport.busName() + ", status " + DeviceStatus.describe(now);
      if ((now & DeviceStatus.DEVICE_NEEDS_RESET) != 0) {
        throw new IOException(what + ", needs a reset and does not get to " + describe(set));
      }
      if ((now & (set | clear)) == set) {
        return;
      }
      if (deadline.minusNanos(System.nanoTime() - start).isNegative()) {
        throw new IOException(what + ", does not get to " + describe(set) + " in " + deadline);
      }
      try {
        Thread.sleep(1);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException("interrupted while waiting for " + what, e);
      }
    }
  }

  private static String describe(int bit) {
    return DeviceStatus.describe(bit);
  }

  /** The driver has given up, if the device can still be told. */
  void failed() throws IOException {
    addStatus(DeviceStatus.FAILED);
  }

  /** Sets a bit and clears none (virtio 1.4, Device Status Field): not even the device's. */
  private void addStatus(int bit) throws IOException {
    int device = transport.status() & DeviceStatus.DEVICE_NEEDS_RESET;
    if (device != 0 && bit != DeviceStatus.FAILED) {
      throw new IOException(
          "the device at " + transport.busName() + " needs a reset before it is initialised");
    }
    status |= bit;
    transport.writeStatus(status | device);
  }
}
