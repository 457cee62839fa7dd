// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.spec.VirtioBlk;

/** What a request asks for (virtio 1.4, Block Device / Device Operation). */
public enum BlkOperation {
  /** VIRTIO_BLK_T_IN. */
  READ(VirtioBlk.VIRTIO_BLK_T_IN),

  /** VIRTIO_BLK_T_OUT. */
  WRITE(VirtioBlk.VIRTIO_BLK_T_OUT),

  /** VIRTIO_BLK_T_FLUSH. */
  FLUSH(VirtioBlk.VIRTIO_BLK_T_FLUSH),

  /** VIRTIO_BLK_T_DISCARD. */
  DISCARD(VirtioBlk.VIRTIO_BLK_T_DISCARD),

  /** VIRTIO_BLK_T_WRITE_ZEROES. */
  WRITE_ZEROES(VirtioBlk.VIRTIO_BLK_T_WRITE_ZEROES),

  /** VIRTIO_BLK_T_SECURE_ERASE. */
  SECURE_ERASE(VirtioBlk.VIRTIO_BLK_T_SECURE_ERASE),

  /** VIRTIO_BLK_T_GET_ID. */
  GET_ID(VirtioBlk.VIRTIO_BLK_T_GET_ID),

  /** VIRTIO_BLK_T_GET_LIFETIME. */
  GET_LIFETIME(VirtioBlk.VIRTIO_BLK_T_GET_LIFETIME);

  private final int type;

  BlkOperation(int type) {
    this.type = type;
  }

  /** The number in the header of the request. */
  public int type() {
    return type;
  }

  /** Whether the device writes the data. */
  boolean isInput() {
    return this == READ || this == GET_ID || this == GET_LIFETIME;
  }

  /** Whether it is about ranges and has no data of the caller's. */
  boolean hasRanges() {
    return this == DISCARD || this == WRITE_ZEROES || this == SECURE_ERASE;
  }

  /** Whether it changes what a read returns, so that a read-only device refuses it. */
  boolean isChange() {
    return this == WRITE || hasRanges();
  }
}
