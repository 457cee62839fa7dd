// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import java.io.IOException;

/**
 * What a {@link VirtioBus} tells of its devices. On the thread that caused it, or on the device's
 * executor for what the device does by itself; no lock is held. What is thrown is logged.
 */
public interface BusListener {
  /** A device has a driver and is live. */
  default void bound(DriverDevice device, Driver driver) {}

  /** A device has lost its driver. */
  default void unbound(DriverDevice device) {}

  /** A driver did not take a device, or could not freeze or restore it. */
  default void failed(DriverDevice device, DriverType type, IOException reason) {}

  /** A device needs a reset, or broke a queue; {@link DriverDevice#failure} says why. */
  default void broken(DriverDevice device) {}

  /** A device is gone; {@link DriverDevice#failure} says why. */
  default void lost(DriverDevice device) {}
}
