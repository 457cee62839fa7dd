// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the IOMMU (virtio 1.4, Device Types / IOMMU device). */
public final class VirtioIommu {
  public static final int VIRTIO_IOMMU_F_INPUT_RANGE = 0;
  public static final int VIRTIO_IOMMU_F_DOMAIN_RANGE = 1;
  public static final int VIRTIO_IOMMU_F_MAP_UNMAP = 2;
  public static final int VIRTIO_IOMMU_F_BYPASS = 3;
  public static final int VIRTIO_IOMMU_F_PROBE = 4;
  public static final int VIRTIO_IOMMU_F_MMIO = 5;
  public static final int VIRTIO_IOMMU_F_BYPASS_CONFIG = 6;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_iommu_config")
          .le64("page_size_mask")
          .when(VIRTIO_IOMMU_F_INPUT_RANGE)
          .le64("input_range.start")
          .le64("input_range.end")
          .when(VIRTIO_IOMMU_F_DOMAIN_RANGE)
          .le32("domain_range.start")
          .le32("domain_range.end")
          .when(VIRTIO_IOMMU_F_PROBE)
          .le32("probe_size")
          .when(VIRTIO_IOMMU_F_BYPASS_CONFIG)
          .u8("bypass")
          .when(-1)
          .u8("reserved", 3)
          .size(40);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_IOMMU_F_INPUT_RANGE, "VIRTIO_IOMMU_F_INPUT_RANGE"),
          Map.entry(VIRTIO_IOMMU_F_DOMAIN_RANGE, "VIRTIO_IOMMU_F_DOMAIN_RANGE"),
          Map.entry(VIRTIO_IOMMU_F_MAP_UNMAP, "VIRTIO_IOMMU_F_MAP_UNMAP"),
          Map.entry(VIRTIO_IOMMU_F_BYPASS, "VIRTIO_IOMMU_F_BYPASS"),
          Map.entry(VIRTIO_IOMMU_F_PROBE, "VIRTIO_IOMMU_F_PROBE"),
          Map.entry(VIRTIO_IOMMU_F_MMIO, "VIRTIO_IOMMU_F_MMIO"),
          Map.entry(VIRTIO_IOMMU_F_BYPASS_CONFIG, "VIRTIO_IOMMU_F_BYPASS_CONFIG"));

  private VirtioIommu() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
