// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the memory device (virtio 1.4, Device Types / Memory Device). */
public final class VirtioMem {
  public static final int VIRTIO_MEM_F_ACPI_PXM = 0;
  public static final int VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE = 1;
  public static final int VIRTIO_MEM_F_PERSISTENT_SUSPEND = 2;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_mem_config")
          .le64("block_size")
          .when(VIRTIO_MEM_F_ACPI_PXM)
          .le16("node_id")
          .when(-1)
          .u8("padding", 6)
          .le64("addr")
          .le64("region_size")
          .le64("usable_region_size")
          .le64("plugged_size")
          .le64("requested_size")
          .size(56);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_MEM_F_ACPI_PXM, "VIRTIO_MEM_F_ACPI_PXM"),
          Map.entry(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE, "VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE"),
          Map.entry(VIRTIO_MEM_F_PERSISTENT_SUSPEND, "VIRTIO_MEM_F_PERSISTENT_SUSPEND"));

  private VirtioMem() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
