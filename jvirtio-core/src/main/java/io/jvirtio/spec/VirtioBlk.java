// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the block device (virtio 1.4, Device Types / Block Device). */
public final class VirtioBlk {
  /** Unit of sector numbers and capacities, in bytes. */
  public static final int SECTOR_SIZE = 512;

  /** Legacy interface: request barriers. */
  public static final int VIRTIO_BLK_F_BARRIER = 0;

  public static final int VIRTIO_BLK_F_SIZE_MAX = 1;
  public static final int VIRTIO_BLK_F_SEG_MAX = 2;
  public static final int VIRTIO_BLK_F_GEOMETRY = 4;
  public static final int VIRTIO_BLK_F_RO = 5;
  public static final int VIRTIO_BLK_F_BLK_SIZE = 6;

  /** Legacy interface: SCSI packet commands. */
  public static final int VIRTIO_BLK_F_SCSI = 7;

  public static final int VIRTIO_BLK_F_FLUSH = 9;
  public static final int VIRTIO_BLK_F_TOPOLOGY = 10;
  public static final int VIRTIO_BLK_F_CONFIG_WCE = 11;
  public static final int VIRTIO_BLK_F_MQ = 12;
  public static final int VIRTIO_BLK_F_DISCARD = 13;
  public static final int VIRTIO_BLK_F_WRITE_ZEROES = 14;
  public static final int VIRTIO_BLK_F_LIFETIME = 15;
  public static final int VIRTIO_BLK_F_SECURE_ERASE = 16;
  public static final int VIRTIO_BLK_F_ZONED = 17;

  public static final int VIRTIO_BLK_T_IN = 0;
  public static final int VIRTIO_BLK_T_OUT = 1;
  public static final int VIRTIO_BLK_T_FLUSH = 4;

  /** Legacy interface: a synonym of {@link #VIRTIO_BLK_T_FLUSH}. */
  public static final int VIRTIO_BLK_T_FLUSH_OUT = 5;

  public static final int VIRTIO_BLK_T_GET_ID = 8;
  public static final int VIRTIO_BLK_T_GET_LIFETIME = 10;
  public static final int VIRTIO_BLK_T_DISCARD = 11;
  public static final int VIRTIO_BLK_T_WRITE_ZEROES = 13;
  public static final int VIRTIO_BLK_T_SECURE_ERASE = 14;
  public static final int VIRTIO_BLK_T_ZONE_APPEND = 15;
  public static final int VIRTIO_BLK_T_ZONE_REPORT = 16;
  public static final int VIRTIO_BLK_T_ZONE_OPEN = 18;
  public static final int VIRTIO_BLK_T_ZONE_CLOSE = 20;
  public static final int VIRTIO_BLK_T_ZONE_FINISH = 22;
  public static final int VIRTIO_BLK_T_ZONE_RESET = 24;
  public static final int VIRTIO_BLK_T_ZONE_RESET_ALL = 26;

  public static final int VIRTIO_BLK_S_OK = 0;
  public static final int VIRTIO_BLK_S_IOERR = 1;
  public static final int VIRTIO_BLK_S_UNSUPP = 2;

  /** Bytes of the string that VIRTIO_BLK_T_GET_ID returns. */
  public static final int VIRTIO_BLK_ID_BYTES = 20;

  /** In the flags of struct virtio_blk_discard_write_zeroes. */
  public static final int WRITE_ZEROES_FLAG_UNMAP = 1;

  /** The head of a request: type, reserved, sector. */
  public static final Struct REQ_HEADER =
      Struct.named("virtio_blk_req").le32("type").le32("reserved").le64("sector").size(16);

  /** One segment of a discard, secure erase or write zeroes request. */
  public static final Struct DISCARD_WRITE_ZEROES =
      Struct.named("virtio_blk_discard_write_zeroes")
          .le64("sector")
          .le32("num_sectors")
          .le32("flags")
          .size(16);

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_blk_config")
          .le64("capacity")
          .when(VIRTIO_BLK_F_SIZE_MAX)
          .le32("size_max")
          .when(VIRTIO_BLK_F_SEG_MAX)
          .le32("seg_max")
          .when(VIRTIO_BLK_F_GEOMETRY)
          .le16("geometry.cylinders")
          .u8("geometry.heads")
          .u8("geometry.sectors")
          .when(VIRTIO_BLK_F_BLK_SIZE)
          .le32("blk_size")
          .when(VIRTIO_BLK_F_TOPOLOGY)
          .u8("topology.physical_block_exp")
          .u8("topology.alignment_offset")
          .le16("topology.min_io_size")
          .le32("topology.opt_io_size")
          .when(VIRTIO_BLK_F_CONFIG_WCE)
          .u8("writeback")
          .when(-1)
          .u8("unused0")
          .when(VIRTIO_BLK_F_MQ)
          .le16("num_queues")
          .when(VIRTIO_BLK_F_DISCARD)
          .le32("max_discard_sectors")
          .le32("max_discard_seg")
          .le32("discard_sector_alignment")
          .when(VIRTIO_BLK_F_WRITE_ZEROES)
          .le32("max_write_zeroes_sectors")
          .le32("max_write_zeroes_seg")
          .u8("write_zeroes_may_unmap")
          .when(-1)
          .u8("unused1", 3)
          .when(VIRTIO_BLK_F_SECURE_ERASE)
          .le32("max_secure_erase_sectors")
          .le32("max_secure_erase_seg")
          .le32("secure_erase_sector_alignment")
          .when(VIRTIO_BLK_F_ZONED)
          .le32("zoned.zone_sectors")
          .le32("zoned.max_open_zones")
          .le32("zoned.max_active_zones")
          .le32("zoned.max_append_sectors")
          .le32("zoned.write_granularity")
          .u8("zoned.model")
          .u8("zoned.unused2", 3)
          .size(96);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_BLK_F_BARRIER, "VIRTIO_BLK_F_BARRIER"),
          Map.entry(VIRTIO_BLK_F_SIZE_MAX, "VIRTIO_BLK_F_SIZE_MAX"),
          Map.entry(VIRTIO_BLK_F_SEG_MAX, "VIRTIO_BLK_F_SEG_MAX"),
          Map.entry(VIRTIO_BLK_F_GEOMETRY, "VIRTIO_BLK_F_GEOMETRY"),
          Map.entry(VIRTIO_BLK_F_RO, "VIRTIO_BLK_F_RO"),
          Map.entry(VIRTIO_BLK_F_BLK_SIZE, "VIRTIO_BLK_F_BLK_SIZE"),
          Map.entry(VIRTIO_BLK_F_SCSI, "VIRTIO_BLK_F_SCSI"),
          Map.entry(VIRTIO_BLK_F_FLUSH, "VIRTIO_BLK_F_FLUSH"),
          Map.entry(VIRTIO_BLK_F_TOPOLOGY, "VIRTIO_BLK_F_TOPOLOGY"),
          Map.entry(VIRTIO_BLK_F_CONFIG_WCE, "VIRTIO_BLK_F_CONFIG_WCE"),
          Map.entry(VIRTIO_BLK_F_MQ, "VIRTIO_BLK_F_MQ"),
          Map.entry(VIRTIO_BLK_F_DISCARD, "VIRTIO_BLK_F_DISCARD"),
          Map.entry(VIRTIO_BLK_F_WRITE_ZEROES, "VIRTIO_BLK_F_WRITE_ZEROES"),
          Map.entry(VIRTIO_BLK_F_LIFETIME, "VIRTIO_BLK_F_LIFETIME"),
          Map.entry(VIRTIO_BLK_F_SECURE_ERASE, "VIRTIO_BLK_F_SECURE_ERASE"),
          Map.entry(VIRTIO_BLK_F_ZONED, "VIRTIO_BLK_F_ZONED"));

  private VirtioBlk() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
