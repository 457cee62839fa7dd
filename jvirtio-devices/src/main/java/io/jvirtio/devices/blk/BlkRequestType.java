// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.spec.VirtioBlk;

/** The kinds of requests (virtio 1.4, Block Device / Device Operation). */
public enum BlkRequestType {
  /** VIRTIO_BLK_T_IN: read. */
  IN,

  /** VIRTIO_BLK_T_OUT: write. */
  OUT,

  /** VIRTIO_BLK_T_FLUSH, or its legacy synonym VIRTIO_BLK_T_FLUSH_OUT. */
  FLUSH,

  /** VIRTIO_BLK_T_GET_ID. */
  GET_ID,

  /** VIRTIO_BLK_T_DISCARD. */
  DISCARD,

  /** VIRTIO_BLK_T_WRITE_ZEROES. */
  WRITE_ZEROES,

  /** VIRTIO_BLK_T_SECURE_ERASE. */
  SECURE_ERASE,

  /** Everything else, which is answered with VIRTIO_BLK_S_UNSUPP. */
  OTHER;

  /** The kind of a request by the number in its header. */
  public static BlkRequestType of(int type) {
    return switch (type) {
      case VirtioBlk.VIRTIO_BLK_T_IN -> IN;
      case VirtioBlk.VIRTIO_BLK_T_OUT -> OUT;
      case VirtioBlk.VIRTIO_BLK_T_FLUSH, VirtioBlk.VIRTIO_BLK_T_FLUSH_OUT -> FLUSH;
      case VirtioBlk.VIRTIO_BLK_T_GET_ID -> GET_ID;
      case VirtioBlk.VIRTIO_BLK_T_DISCARD -> DISCARD;
      case VirtioBlk.VIRTIO_BLK_T_WRITE_ZEROES -> WRITE_ZEROES;
      case VirtioBlk.VIRTIO_BLK_T_SECURE_ERASE -> SECURE_ERASE;
      // Get lifetime and all zone requests: their features are never offered.
      default -> OTHER;
    };
  }
}
