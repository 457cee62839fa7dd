// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/**
 * Constants of the SCMI device (virtio 1.4, Device Types / SCMI Device). It has no configuration.
 */
public final class VirtioScmi {
  public static final int VIRTIO_SCMI_F_P2A_CHANNELS = 0;
  public static final int VIRTIO_SCMI_F_SHARED_MEMORY = 1;

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_SCMI_F_P2A_CHANNELS, "VIRTIO_SCMI_F_P2A_CHANNELS"),
          Map.entry(VIRTIO_SCMI_F_SHARED_MEMORY, "VIRTIO_SCMI_F_SHARED_MEMORY"));

  private VirtioScmi() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
