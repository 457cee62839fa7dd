// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/**
 * Constants of the I2C adapter (virtio 1.4, Device Types / I2C Adapter Device). It has no
 * configuration.
 */
public final class VirtioI2c {
  /** Every device has to offer it. */
  public static final int VIRTIO_I2C_F_ZERO_LENGTH_REQUEST = 0;

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_I2C_F_ZERO_LENGTH_REQUEST, "VIRTIO_I2C_F_ZERO_LENGTH_REQUEST"));

  private VirtioI2c() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
