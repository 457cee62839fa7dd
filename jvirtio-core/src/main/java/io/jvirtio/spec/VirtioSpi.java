// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/**
 * Structures of the SPI controller (virtio 1.4, Device Types / SPI Controller Device). It has no
 * feature bit of its own.
 */
public final class VirtioSpi {
  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_spi_config")
          .u8("cs_max_number")
          .u8("cs_change_supported")
          .u8("tx_nbits_supported")
          .u8("rx_nbits_supported")
          .le32("bits_per_word_mask")
          .le32("mode_func_supported")
          .le32("max_freq_hz")
          .le32("max_word_delay_ns")
          .le32("max_cs_setup_ns")
          .le32("max_cs_hold_ns")
          .le32("max_cs_inactive_ns")
          .size(32);

  private VirtioSpi() {}
}
