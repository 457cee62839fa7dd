// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the console (virtio 1.4, Device Types / Console Device). */
public final class VirtioConsole {
  public static final int VIRTIO_CONSOLE_F_SIZE = 0;
  public static final int VIRTIO_CONSOLE_F_MULTIPORT = 1;
  public static final int VIRTIO_CONSOLE_F_EMERG_WRITE = 2;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_console_config")
          .when(VIRTIO_CONSOLE_F_SIZE)
          .le16("rows")
          .le16("cols")
          .when(VIRTIO_CONSOLE_F_MULTIPORT)
          .le32("max_nr_ports")
          .when(VIRTIO_CONSOLE_F_EMERG_WRITE)
          .le32("emerg_wr")
          .size(12);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_CONSOLE_F_SIZE, "VIRTIO_CONSOLE_F_SIZE"),
          Map.entry(VIRTIO_CONSOLE_F_MULTIPORT, "VIRTIO_CONSOLE_F_MULTIPORT"),
          Map.entry(VIRTIO_CONSOLE_F_EMERG_WRITE, "VIRTIO_CONSOLE_F_EMERG_WRITE"));

  private VirtioConsole() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
