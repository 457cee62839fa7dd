// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/**
 * How worn the storage is (struct virtio_blk_lifetime, virtio 1.4, Block Device / Device
 * Operation). Numbers as the device gave them; those that the specification does not name are
 * reserved.
 *
 * @param preEolInfo reserved blocks consumed: 0 not available, 1 less than 80 %, 2 80 %, 3 90 %
 * @param typA wear of SLC cells in tenths of the lifetime, rounded up: 0 undefined, 11 exceeded
 * @param typB the same of MLC cells
 */
public record BlkLifetime(int preEolInfo, int typA, int typB) {
  /** Bytes of the structure. */
  static final int BYTES = 6;
}
