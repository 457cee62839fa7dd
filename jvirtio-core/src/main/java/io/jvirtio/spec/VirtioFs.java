// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/**
 * Constants and structures of the file system device (virtio 1.4, Device Types / File System
 * Device).
 */
public final class VirtioFs {
  public static final int VIRTIO_FS_F_NOTIFICATION = 0;

  /** Bytes of the tag, which ends with a NUL only where it is shorter. */
  public static final int TAG_SIZE = 36;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_fs_config")
          .text("tag", TAG_SIZE)
          .le32("num_request_queues")
          .when(VIRTIO_FS_F_NOTIFICATION)
          .le32("notify_buf_size")
          .size(44);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(Map.entry(VIRTIO_FS_F_NOTIFICATION, "VIRTIO_FS_F_NOTIFICATION"));

  private VirtioFs() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
