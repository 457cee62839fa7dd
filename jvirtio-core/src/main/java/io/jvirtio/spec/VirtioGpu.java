// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.List;
import java.util.Map;

/** Constants and structures of the GPU (virtio 1.4, Device Types / GPU Device). */
public final class VirtioGpu {
  public static final int VIRTIO_GPU_F_VIRGL = 0;
  public static final int VIRTIO_GPU_F_EDID = 1;
  public static final int VIRTIO_GPU_F_RESOURCE_UUID = 2;
  public static final int VIRTIO_GPU_F_RESOURCE_BLOB = 3;
  public static final int VIRTIO_GPU_F_CONTEXT_INIT = 4;

  /** In events_read and events_clear: the display configuration has changed. */
  public static final int VIRTIO_GPU_EVENT_DISPLAY = 1;

  /** The most that num_scanouts can be. */
  public static final int VIRTIO_GPU_MAX_SCANOUTS = 16;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_gpu_config")
          .le32("events_read")
          .le32("events_clear")
          .le32("num_scanouts")
          .le32("num_capsets")
          .size(16);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_GPU_F_VIRGL, "VIRTIO_GPU_F_VIRGL"),
          Map.entry(VIRTIO_GPU_F_EDID, "VIRTIO_GPU_F_EDID"),
          Map.entry(VIRTIO_GPU_F_RESOURCE_UUID, "VIRTIO_GPU_F_RESOURCE_UUID"),
          Map.entry(VIRTIO_GPU_F_RESOURCE_BLOB, "VIRTIO_GPU_F_RESOURCE_BLOB"),
          Map.entry(VIRTIO_GPU_F_CONTEXT_INIT, "VIRTIO_GPU_F_CONTEXT_INIT"));

  /** Which offered feature needs which other (Feature bits). */
  public static final List<FeatureRequirement> REQUIREMENTS =
      List.of(FeatureRequirement.of(VIRTIO_GPU_F_CONTEXT_INIT, VIRTIO_GPU_F_VIRGL));

  private VirtioGpu() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
