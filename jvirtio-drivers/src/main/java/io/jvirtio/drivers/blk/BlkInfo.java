// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.spec.VirtioBlk.SECTOR_SIZE;

import io.jvirtio.driver.DriverConfig;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.FeatureNames;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;

/**
 * What the configuration space says, checked (virtio 1.4, Block Device / Device configuration
 * layout). The device may have put anything there.
 *
 * @param blockSize in bytes, a power of two, at least 512
 * @param topology or null
 * @param geometry or null
 * @param queues how many to use, at least 1
 * @param queueSize the largest that is useful, as a request to the transport
 * @param limits of a request, as far as the queue size allows
 */
record BlkInfo(
    int blockSize,
    BlkTopology topology,
    BlkGeometry geometry,
    int queues,
    int queueSize,
    BlkLimits limits) {
  /** Elements of a request besides its data: header and status. */
  static final int HEADER_AND_STATUS = 2;

  private static final Logger LOG = System.getLogger(BlkInfo.class.getName());

  /** More than this is no disk, and would overflow as a number of bytes. */
  private static final long MOST_SECTORS = Long.MAX_VALUE / SECTOR_SIZE;

  /** The length of data travels in 32 bits, used lengths too; so a request stays well below. */
  private static final long MOST_BYTES = 1L << 30;

  private static final int MOST_BLOCK_EXPONENT = 16;

  /** All that this driver understands; zones are not among it, nor what only legacy has. */
  static final FeatureBits FEATURES =
      FeatureBits.of(
          VirtioBlk.VIRTIO_BLK_F_SIZE_MAX,
          VirtioBlk.VIRTIO_BLK_F_SEG_MAX,
          VirtioBlk.VIRTIO_BLK_F_GEOMETRY,
          VirtioBlk.VIRTIO_BLK_F_RO,
          VirtioBlk.VIRTIO_BLK_F_BLK_SIZE,
          VirtioBlk.VIRTIO_BLK_F_FLUSH,
          VirtioBlk.VIRTIO_BLK_F_TOPOLOGY,
          VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE,
          VirtioBlk.VIRTIO_BLK_F_MQ,
          VirtioBlk.VIRTIO_BLK_F_DISCARD,
          VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES,
          VirtioBlk.VIRTIO_BLK_F_LIFETIME,
          VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE);

  /** Gives up the features whose part of the configuration makes no sense. */
  static void validate(DriverDevice device) throws IOException {
    require(device, VirtioBlk.VIRTIO_BLK_F_SIZE_MAX, "size_max");
    require(device, VirtioBlk.VIRTIO_BLK_F_SEG_MAX, "seg_max");
    require(device, VirtioBlk.VIRTIO_BLK_F_MQ, "num_queues");
    require(device, VirtioBlk.VIRTIO_BLK_F_DISCARD, "max_discard_sectors", "max_discard_seg");
    require(
        device,
        VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES,
        "max_write_zeroes_sectors",
        "max_write_zeroes_seg");
    require(
        device,
        VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE,
        "max_secure_erase_sectors",
        "max_secure_erase_seg");
    there(device, VirtioBlk.VIRTIO_BLK_F_GEOMETRY, "geometry.sectors");
    there(device, VirtioBlk.VIRTIO_BLK_F_TOPOLOGY, "topology.opt_io_size");
    there(device, VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE, "writeback");
    there(device, VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES, "write_zeroes_may_unmap");
    if (there(device, VirtioBlk.VIRTIO_BLK_F_BLK_SIZE, "blk_size")) {
      long size = device.config().get("blk_size");
      if (size < SECTOR_SIZE || size > 1 << 30 || Long.bitCount(size) != 1) {
        giveUp(device, VirtioBlk.VIRTIO_BLK_F_BLK_SIZE, "blk_size is " + size);
      }
    }
  }

  private static void require(DriverDevice device, int feature, String... fields)
      throws IOException {
    for (String field : fields) {
      if (there(device, feature, field) && device.config().get(field) == 0) {
        giveUp(device, feature, field + " is 0");
      }
    }
  }

  /** Whether the device offers it, and its configuration space reaches so far. */
  private static boolean there(DriverDevice device, int feature, String field) throws IOException {
    if (device.hasFeature(feature) && !device.config().has(field)) {
      giveUp(device, feature, "there is no " + field);
    }
    return device.hasFeature(feature);
  }

  private static void giveUp(DriverDevice device, int feature, String why) {
    // A QEMU without a limit says 0 here: nothing to warn of.
    LOG.log(
        feature == VirtioBlk.VIRTIO_BLK_F_SIZE_MAX ? Level.DEBUG : Level.WARNING,
        "{0}: {1}, so not using {2}",
        device.name(),
        why,
        FeatureNames.of(device.deviceId(), feature));
    device.clearFeature(feature);
  }

  /** Reads all but the capacity. */
  static BlkInfo read(DriverDevice device, BlkDriverOptions options) throws IOException {
    DriverConfig config = device.config();
    DriverTransport transport = device.transport();
    long queues = feature(device, VirtioBlk.VIRTIO_BLK_F_MQ, "num_queues", 1);
    queues = Math.min(Math.min(queues, options.queues()), transport.queueCount());
    int queueSize = Integer.MAX_VALUE;
    for (int i = 0; i < queues; i++) {
      queueSize = Math.min(queueSize, transport.queueMaxSize(i));
    }
    if (queues < 1 || queueSize <= HEADER_AND_STATUS) {
      throw new IOException(
          device.name()
              + ": "
              + queues
              + " queues of size "
              + queueSize
              + " cannot take a request");
    }
    if (options.queueSize() != 0) {
      // At least what a request with one element of data needs.
      queueSize = Math.min(queueSize, Math.max(options.queueSize(), 2 * HEADER_AND_STATUS));
    }
    int blockSize = (int) feature(device, VirtioBlk.VIRTIO_BLK_F_BLK_SIZE, "blk_size", SECTOR_SIZE);
    return new BlkInfo(
        blockSize,
        topology(device, blockSize),
        device.hasFeature(VirtioBlk.VIRTIO_BLK_F_GEOMETRY)
            ? new BlkGeometry(
                (int) config.get("geometry.cylinders"),
                (int) config.get("geometry.heads"),
                (int) config.get("geometry.sectors"))
            : null,
        (int) queues,
        options.queueSize() == 0 ? 0 : Integer.highestOneBit(queueSize),
        limits(device, options, Integer.highestOneBit(queueSize)));
  }

  /** The capacity in sectors. */
  static long capacity(DriverDevice device) throws IOException {
    long sectors = device.config().get("capacity");
    return sectors < 0 || sectors > MOST_SECTORS ? MOST_SECTORS : sectors;
  }

  private static long feature(DriverDevice device, int feature, String field, long otherwise)
      throws IOException {
    return device.hasFeature(feature) ? device.config().get(field) : otherwise;
  }

  private static BlkTopology topology(DriverDevice device, int blockSize) throws IOException {
    if (!device.hasFeature(VirtioBlk.VIRTIO_BLK_F_TOPOLOGY)) {
      return null;
    }
    DriverConfig config = device.config();
    long exponent = config.get("topology.physical_block_exp");
    return new BlkTopology(
        exponent > MOST_BLOCK_EXPONENT ? blockSize : (long) blockSize << exponent,
        config.get("topology.alignment_offset") * blockSize,
        config.get("topology.min_io_size") * blockSize,
        config.get("topology.opt_io_size") * blockSize);
  }

  private static BlkLimits limits(DriverDevice device, BlkDriverOptions options, int queueSize)
      throws IOException {
    // A device that does not say how many segments it takes is only known to take one.
    long segMax = feature(device, VirtioBlk.VIRTIO_BLK_F_SEG_MAX, "seg_max", 1);
    long sizeMax = feature(device, VirtioBlk.VIRTIO_BLK_F_SIZE_MAX, "size_max", MOST_BYTES);
    int segments =
        (int) Math.min(Math.min(segMax, options.maxSegments()), queueSize - HEADER_AND_STATUS);
    sizeMax = Math.min(sizeMax, MOST_BYTES);
    long bytes = Math.min(segments * sizeMax, MOST_BYTES) & -SECTOR_SIZE;
    if (bytes == 0) {
      throw new IOException(
          device.name() + ": " + segments + " segments of " + sizeMax + " bytes hold no sector");
    }
    return new BlkLimits(
        segments,
        sizeMax,
        bytes,
        sectors(device, VirtioBlk.VIRTIO_BLK_F_DISCARD, "max_discard_sectors"),
        ranges(device, VirtioBlk.VIRTIO_BLK_F_DISCARD, "max_discard_seg", options),
        sectors(device, VirtioBlk.VIRTIO_BLK_F_DISCARD, "discard_sector_alignment"),
        sectors(device, VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES, "max_write_zeroes_sectors"),
        ranges(device, VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES, "max_write_zeroes_seg", options),
        feature(device, VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES, "write_zeroes_may_unmap", 0) != 0,
        sectors(device, VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE, "max_secure_erase_sectors"),
        ranges(device, VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE, "max_secure_erase_seg", options),
        sectors(device, VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE, "secure_erase_sector_alignment"));
  }

  private static long sectors(DriverDevice device, int feature, String field) throws IOException {
    return feature(device, feature, field, 0) * SECTOR_SIZE;
  }

  private static int ranges(
      DriverDevice device, int feature, String field, BlkDriverOptions options) throws IOException {
    return (int) Math.min(feature(device, feature, field, 0), options.maxRanges());
  }
}
