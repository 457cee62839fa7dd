// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the GPIO device (virtio 1.4, Device Types / GPIO Device). */
public final class VirtioGpio {
  public static final int VIRTIO_GPIO_F_IRQ = 0;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_gpio_config")
          .le16("ngpio")
          .u8("padding", 2)
          .le32("gpio_names_size")
          .size(8);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(Map.entry(VIRTIO_GPIO_F_IRQ, "VIRTIO_GPIO_F_IRQ"));

  private VirtioGpio() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
