// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/**
 * Constants and structures of the traditional memory balloon (virtio 1.4, Device Types /
 * Traditional Memory Balloon Device).
 */
public final class VirtioBalloon {
  public static final int VIRTIO_BALLOON_F_MUST_TELL_HOST = 0;
  public static final int VIRTIO_BALLOON_F_STATS_VQ = 1;
  public static final int VIRTIO_BALLOON_F_DEFLATE_ON_OOM = 2;
  public static final int VIRTIO_BALLOON_F_FREE_PAGE_HINT = 3;
  public static final int VIRTIO_BALLOON_F_PAGE_POISON = 4;
  public static final int VIRTIO_BALLOON_F_PAGE_REPORTING = 5;

  /** Device configuration layout; little-endian on the legacy interface too. */
  public static final Struct CONFIG =
      Struct.named("virtio_balloon_config")
          .le32("num_pages")
          .le32("actual")
          .when(VIRTIO_BALLOON_F_FREE_PAGE_HINT)
          .le32("free_page_hint_cmd_id")
          .when(VIRTIO_BALLOON_F_PAGE_POISON)
          .le32("poison_val")
          .size(16);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_BALLOON_F_MUST_TELL_HOST, "VIRTIO_BALLOON_F_MUST_TELL_HOST"),
          Map.entry(VIRTIO_BALLOON_F_STATS_VQ, "VIRTIO_BALLOON_F_STATS_VQ"),
          Map.entry(VIRTIO_BALLOON_F_DEFLATE_ON_OOM, "VIRTIO_BALLOON_F_DEFLATE_ON_OOM"),
          Map.entry(VIRTIO_BALLOON_F_FREE_PAGE_HINT, "VIRTIO_BALLOON_F_FREE_PAGE_HINT"),
          Map.entry(VIRTIO_BALLOON_F_PAGE_POISON, "VIRTIO_BALLOON_F_PAGE_POISON"),
          Map.entry(VIRTIO_BALLOON_F_PAGE_REPORTING, "VIRTIO_BALLOON_F_PAGE_REPORTING"));

  private VirtioBalloon() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
