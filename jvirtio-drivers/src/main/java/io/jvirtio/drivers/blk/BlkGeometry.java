// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/**
 * Disk-style geometry, for what still wants it (struct virtio_blk_geometry).
 *
 * @param cylinders 0 to 65535
 * @param heads 0 to 255
 * @param sectors on each track, 0 to 255
 */
public record BlkGeometry(int cylinders, int heads, int sectors) {}
