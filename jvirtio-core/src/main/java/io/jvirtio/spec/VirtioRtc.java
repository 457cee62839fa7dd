// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/**
 * Constants of the real time clock (virtio 1.4, Device Types / RTC Device). It has no
 * configuration.
 */
public final class VirtioRtc {
  public static final int VIRTIO_RTC_F_ALARM = 0;

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(Map.entry(VIRTIO_RTC_F_ALARM, "VIRTIO_RTC_F_ALARM"));

  private VirtioRtc() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
