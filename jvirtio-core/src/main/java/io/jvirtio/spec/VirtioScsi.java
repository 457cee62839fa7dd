// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the SCSI host (virtio 1.4, Device Types / SCSI Host Device). */
public final class VirtioScsi {
  public static final int VIRTIO_SCSI_F_INOUT = 0;
  public static final int VIRTIO_SCSI_F_HOTPLUG = 1;
  public static final int VIRTIO_SCSI_F_CHANGE = 2;
  public static final int VIRTIO_SCSI_F_T10_PI = 3;

  /** What sense_size is until the driver changes it, in bytes. */
  public static final int VIRTIO_SCSI_SENSE_DEFAULT_SIZE = 96;

  /** What cdb_size is until the driver changes it, in bytes. */
  public static final int VIRTIO_SCSI_CDB_DEFAULT_SIZE = 32;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_scsi_config")
          .le32("num_queues")
          .le32("seg_max")
          .le32("max_sectors")
          .le32("cmd_per_lun")
          .le32("event_info_size")
          .le32("sense_size")
          .le32("cdb_size")
          .le16("max_channel")
          .le16("max_target")
          .le32("max_lun")
          .size(36);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_SCSI_F_INOUT, "VIRTIO_SCSI_F_INOUT"),
          Map.entry(VIRTIO_SCSI_F_HOTPLUG, "VIRTIO_SCSI_F_HOTPLUG"),
          Map.entry(VIRTIO_SCSI_F_CHANGE, "VIRTIO_SCSI_F_CHANGE"),
          Map.entry(VIRTIO_SCSI_F_T10_PI, "VIRTIO_SCSI_F_T10_PI"));

  private VirtioScsi() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
