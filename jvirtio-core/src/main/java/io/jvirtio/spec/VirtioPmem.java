// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the PMEM device (virtio 1.4, Device Types / PMEM Device). */
public final class VirtioPmem {
  public static final int VIRTIO_PMEM_F_SHMEM_REGION = 0;

  /**
   * Device configuration layout, in bytes. With VIRTIO_PMEM_F_SHMEM_REGION both fields are without
   * meaning.
   */
  public static final Struct CONFIG =
      Struct.named("virtio_pmem_config").le64("start").le64("size").size(16);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(Map.entry(VIRTIO_PMEM_F_SHMEM_REGION, "VIRTIO_PMEM_F_SHMEM_REGION"));

  private VirtioPmem() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
