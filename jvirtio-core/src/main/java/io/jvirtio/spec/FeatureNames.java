// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.List;

/** Names of feature bits, for people to read. */
public final class FeatureNames {
  private FeatureNames() {}

  /**
   * The specification's name of a feature bit.
   *
   * @param deviceId the virtio device id, which decides what bits 0 to 23, 42 and 50 to 127 mean; 0
   *     for a device whose type is not known
   * @param bit 0 to 127
   * @return the name, or {@code bit N} where the specification has none
   */
  public static String of(int deviceId, int bit) {
    String name = ReservedFeatures.nameOf(bit);
    DeviceType type = DeviceType.of(deviceId);
    if (name == null && type != null) {
      name = type.featureName(bit);
    }
    return name == null ? "bit " + bit : name;
  }

  /** The names of all bits in a set, in ascending order of the bits. */
  public static List<String> of(int deviceId, FeatureBits features) {
    return features.bits().stream().map(bit -> of(deviceId, bit)).toList();
  }
}
