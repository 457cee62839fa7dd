// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/**
 * Structures of the media device (virtio 1.4, Device Types / Media Device). It has no feature bit
 * of its own.
 */
public final class VirtioMedia {
  /** Bytes of the name, which ends with a NUL only where it is shorter. */
  public static final int CARD_SIZE = 32;

  /** Device Configuration Layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_media_config")
          .le32("device_caps")
          .le32("device_type")
          .text("card", CARD_SIZE)
          .size(40);

  private VirtioMedia() {}
}
