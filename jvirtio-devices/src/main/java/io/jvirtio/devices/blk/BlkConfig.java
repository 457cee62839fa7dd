// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.spec.VirtioBlk.SECTOR_SIZE;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.VirtioBlk;

/**
 * The feature bits and the configuration space that follow from a back end and the options (virtio
 * 1.4, Block Device / Feature bits, Device configuration layout).
 */
final class BlkConfig {
  /** The most ranges in one discard, write zeroes or secure erase request. */
  static final int MAX_RANGES = 32;

  /** The most sectors in one such range: 2 GiB, so that one request does not take for ever. */
  static final int MAX_RANGE_SECTORS = 1 << 22;

  /**
   * Largest segment. The device takes any; the bound keeps a single request within what back ends
   * move at once (seg_max segments of it are 126 MiB).
   */
  private static final int SIZE_MAX = 1 << 20;

  /** What QEMU offers too: together with header and status 128 descriptors. */
  private static final int SEG_MAX = 126;

  private static final int HEADER_AND_STATUS = 2;
  private static final int HEADS = 16;
  private static final int SECTORS_PER_TRACK = 63;

  private BlkConfig() {}

  static FeatureBits features(BlockBackend backend, BlkOptions options) {
    boolean writable = !options.readOnly() && !backend.readOnly();
    BlockCapabilities can = backend.capabilities();
    return FeatureBits.of(
            VirtioBlk.VIRTIO_BLK_F_SIZE_MAX,
            VirtioBlk.VIRTIO_BLK_F_GEOMETRY,
            VirtioBlk.VIRTIO_BLK_F_BLK_SIZE,
            VirtioBlk.VIRTIO_BLK_F_FLUSH,
            VirtioBlk.VIRTIO_BLK_F_TOPOLOGY,
            VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE)
        .withIf(segMax(options) > 0, VirtioBlk.VIRTIO_BLK_F_SEG_MAX)
        .withIf(!writable, VirtioBlk.VIRTIO_BLK_F_RO)
        .withIf(options.queues() > 1, VirtioBlk.VIRTIO_BLK_F_MQ)
        .withIf(writable && options.discard() && can.discard(), VirtioBlk.VIRTIO_BLK_F_DISCARD)
        .withIf(writable && can.writeZeroes(), VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES)
        .withIf(writable && can.secureErase(), VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE);
  }

  /**
   * Segments in one request, such that a chain of the largest queue holds it; 0 when none fits, and
   * the driver must fall back to indirect descriptors.
   */
  private static int segMax(BlkOptions options) {
    return Math.clamp(options.queueSize() - HEADER_AND_STATUS, 0, SEG_MAX);
  }

  static ConfigSpace space(BlockBackend backend, BlkOptions options) {
    int blockSize = blockSize(backend, options);
    int physical = Math.max(blockSize, backend.physicalBlockSize());
    int exponent = Integer.numberOfTrailingZeros(physical / blockSize);
    int alignment = physical / SECTOR_SIZE;
    FeatureBits features = features(backend, options);
    ConfigSpace config = new ConfigSpace(VirtioBlk.CONFIG);
    setCapacity(config, backend.capacity() / SECTOR_SIZE);
    config.set("size_max", SIZE_MAX);
    config.set("seg_max", segMax(options));
    config.set("blk_size", blockSize);
    config.set("topology.physical_block_exp", exponent);
    config.set("topology.min_io_size", physical / blockSize);
    config.set("num_queues", options.queues());
    if (features.has(VirtioBlk.VIRTIO_BLK_F_DISCARD)) {
      config.set("max_discard_sectors", MAX_RANGE_SECTORS);
      config.set("max_discard_seg", MAX_RANGES);
      config.set("discard_sector_alignment", alignment);
    }
    if (features.has(VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES)) {
      config.set("max_write_zeroes_sectors", MAX_RANGE_SECTORS);
      config.set("max_write_zeroes_seg", MAX_RANGES);
      boolean unmap = options.discard() && backend.capabilities().mayUnmap();
      config.set("write_zeroes_may_unmap", unmap ? 1 : 0);
    }
    if (features.has(VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE)) {
      config.set("max_secure_erase_sectors", MAX_RANGE_SECTORS);
      config.set("max_secure_erase_seg", MAX_RANGES);
      config.set("secure_erase_sector_alignment", alignment);
    }
    return config;
  }

  private static int blockSize(BlockBackend backend, BlkOptions options) {
    int least = backend.logicalBlockSize();
    int size = options.blockSize() == 0 ? least : options.blockSize();
    if (size < least) {
      throw new IllegalArgumentException(
          "block size is " + size + ", but the storage needs at least " + least);
    }
    if (backend.capacity() % size != 0) {
      throw new IllegalArgumentException(
          "capacity of " + backend.capacity() + " bytes is no multiple of the block size " + size);
    }
    return size;
  }

  /** Sets the capacity and the geometry that old partitioning tools derive from it. */
  static void setCapacity(ConfigSpace config, long sectors) {
    config.set("capacity", sectors);
    long cylinders = sectors / (HEADS * SECTORS_PER_TRACK);
    config.set("geometry.cylinders", Math.min(cylinders, 0xffff));
    config.set("geometry.heads", HEADS);
    config.set("geometry.sectors", SECTORS_PER_TRACK);
  }
}
