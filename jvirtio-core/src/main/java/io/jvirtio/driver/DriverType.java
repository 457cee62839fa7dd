// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.util.List;

/**
 * A kind of driver, as a bus knows it: which devices it drives, which features it understands, and
 * how it begins. Stateless; thread-safe.
 *
 * <p>The order for one device: match, ACKNOWLEDGE, DRIVER, features intersected, {@link #validate},
 * FEATURES_OK, {@link #probe}, DRIVER_OK, {@link Driver#scan}.
 */
public interface DriverType {
  /** A short name, such as {@code virtio-blk}. */
  String name();

  /** The devices that it drives. */
  List<DeviceId> ids();

  /**
   * The features that it understands, reserved ones left out: those are {@link DriverDevice}'s.
   * What the specification does not define for the device's type is never accepted.
   */
  FeatureBits features();

  /** The features that it understands on the legacy interface. */
  default FeatureBits legacyFeatures() {
    return features();
  }

  /** The features without which it cannot work. */
  default FeatureBits requiredFeatures() {
    return FeatureBits.NONE;
  }

  /**
   * Looks at the configuration of a device before features are final, and may give up features that
   * make no sense ({@link DriverDevice#clearFeature}).
   *
   * @throws IOException when the driver does not want this device
   */
  default void validate(DriverDevice device) throws IOException {}

  /**
   * Begins to drive a device whose features are final: makes its queues. May call {@link
   * DriverDevice#ready} when it needs the device to work already; else that is done afterwards.
   *
   * @throws IOException when that fails; the device is then told FAILED, and queues that were made
   *     are deleted: nothing of the driver may touch them any more
   */
  Driver probe(DriverDevice device) throws IOException;
}
