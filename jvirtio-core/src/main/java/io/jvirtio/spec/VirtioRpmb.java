// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/**
 * Constants and structures of the RPMB device (virtio 1.4, Device Types / RPMB Device). It has no
 * feature bit of its own.
 */
public final class VirtioRpmb {
  /** The most that capacity can be, in units of 128 KiB. */
  public static final int MAX_CAPACITY = 0x80;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_rpmb_config").u8("capacity").u8("max_wr_cnt").u8("max_rd_cnt").size(3);

  private VirtioRpmb() {}
}
