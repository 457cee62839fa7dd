// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the sound device (virtio 1.4, Device Types / Sound Device). */
public final class VirtioSound {
  public static final int VIRTIO_SND_F_CTLS = 0;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_snd_config")
          .le32("jacks")
          .le32("streams")
          .le32("chmaps")
          .when(VIRTIO_SND_F_CTLS)
          .le32("controls")
          .size(16);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(Map.entry(VIRTIO_SND_F_CTLS, "VIRTIO_SND_F_CTLS"));

  private VirtioSound() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
