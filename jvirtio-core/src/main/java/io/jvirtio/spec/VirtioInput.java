// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/**
 * Constants and structures of the input device (virtio 1.4, Device Types / Input Device). It has no
 * feature bit of its own.
 */
public final class VirtioInput {
  public static final int VIRTIO_INPUT_CFG_UNSET = 0x00;
  public static final int VIRTIO_INPUT_CFG_ID_NAME = 0x01;
  public static final int VIRTIO_INPUT_CFG_ID_SERIAL = 0x02;
  public static final int VIRTIO_INPUT_CFG_ID_DEVIDS = 0x03;
  public static final int VIRTIO_INPUT_CFG_PROP_BITS = 0x10;
  public static final int VIRTIO_INPUT_CFG_EV_BITS = 0x11;
  public static final int VIRTIO_INPUT_CFG_ABS_INFO = 0x12;

  /** Bytes of the union u: the most that size can say. */
  public static final int VIRTIO_INPUT_CFG_MAX_SIZE = 128;

  /**
   * Device configuration layout. What the union u holds is for select to say, and size how many
   * bytes of it.
   */
  public static final Struct CONFIG =
      Struct.named("virtio_input_config")
          .u8("select")
          .u8("subsel")
          .u8("size")
          .u8("reserved", 5)
          .bytes("u", VIRTIO_INPUT_CFG_MAX_SIZE)
          .size(136);

  private VirtioInput() {}
}
