// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The configuration layouts of all device types, against offsets counted in the specification. */
class ConfigLayoutTest {
  @ParameterizedTest
  @CsvSource({
    "net, virtio_net_config, 28, 10",
    "blk, virtio_blk_config, 96, 31",
    "console, virtio_console_config, 12, 4",
    "balloon, virtio_balloon_config, 16, 4",
    "scsi, virtio_scsi_config, 36, 10",
    "gpu, virtio_gpu_config, 16, 4",
    "input, virtio_input_config, 136, 5",
    "vsock, virtio_vsock_config, 8, 1",
    "crypto, virtio_crypto_config, 56, 13",
    "iommu, virtio_iommu_config, 40, 8",
    "mem, virtio_mem_config, 56, 8",
    "sound, virtio_snd_config, 16, 4",
    "fs, virtio_fs_config, 44, 3",
    "pmem, virtio_pmem_config, 16, 2",
    "rpmb, virtio_rpmb_config, 3, 3",
    "can, virtio_can_config, 2, 1",
    "gpio, virtio_gpio_config, 8, 3",
    "spi, virtio_spi_config, 32, 11",
    "media, virtio_media_config, 40, 3",
    "rng, none, 0, 0",
    "rtc, none, 0, 0",
    "scmi, none, 0, 0",
    "i2c, none, 0, 0"
  })
  void layoutsHaveTheirSizes(String type, String struct, int size, int fields) {
    Struct config = DeviceType.named(type).config();
    assertEquals(struct, config.name());
    assertEquals(size, config.size());
    assertEquals(fields, config.fields().size());
  }

  @ParameterizedTest
  @CsvSource({
    "net, mac, 0",
    "net, status, 6",
    "net, max_virtqueue_pairs, 8",
    "net, mtu, 10",
    "net, speed, 12",
    "net, duplex, 16",
    "net, rss_max_key_size, 17",
    "net, rss_max_indirection_table_length, 18",
    "net, supported_hash_types, 20",
    "net, supported_tunnel_types, 24",
    "console, rows, 0",
    "console, cols, 2",
    "console, max_nr_ports, 4",
    "console, emerg_wr, 8",
    "balloon, num_pages, 0",
    "balloon, actual, 4",
    "balloon, poison_val, 12",
    "scsi, num_queues, 0",
    "scsi, event_info_size, 16",
    "scsi, sense_size, 20",
    "scsi, cdb_size, 24",
    "scsi, max_channel, 28",
    "scsi, max_target, 30",
    "scsi, max_lun, 32",
    "gpu, events_read, 0",
    "gpu, num_scanouts, 8",
    "gpu, num_capsets, 12",
    "input, select, 0",
    "input, subsel, 1",
    "input, size, 2",
    "input, reserved, 3",
    "input, u, 8",
    "crypto, max_dataqueues, 4",
    "crypto, crypto_services, 8",
    "crypto, hash_algo, 20",
    "crypto, aead_algo, 32",
    "crypto, akcipher_algo, 44",
    "crypto, max_size, 48",
    "iommu, input_range.start, 8",
    "iommu, input_range.end, 16",
    "iommu, domain_range.start, 24",
    "iommu, probe_size, 32",
    "iommu, bypass, 36",
    "mem, node_id, 8",
    "mem, padding, 10",
    "mem, addr, 16",
    "mem, region_size, 24",
    "mem, requested_size, 48",
    "sound, streams, 4",
    "sound, controls, 12",
    "fs, tag, 0",
    "fs, num_request_queues, 36",
    "fs, notify_buf_size, 40",
    "pmem, size, 8",
    "rpmb, max_rd_cnt, 2",
    "can, status, 0",
    "gpio, padding, 2",
    "gpio, gpio_names_size, 4",
    "spi, rx_nbits_supported, 3",
    "spi, bits_per_word_mask, 4",
    "spi, mode_func_supported, 8",
    "spi, max_cs_inactive_ns, 28",
    "media, device_type, 4",
    "media, card, 8"
  })
  void fieldsLieWhereTheSpecificationPutsThem(String type, String field, int offset) {
    assertEquals(offset, DeviceType.named(type).config().offset(field));
  }

  @ParameterizedTest
  @CsvSource({
    "net, mac, -1, -1",
    "net, status, 16, -1",
    "net, max_virtqueue_pairs, 22, 60",
    "net, mtu, 3, -1",
    "net, speed, 63, -1",
    "net, duplex, 63, -1",
    "net, rss_max_key_size, 60, 57",
    "net, rss_max_indirection_table_length, 60, -1",
    "net, supported_hash_types, 57, 60",
    "net, supported_tunnel_types, 51, -1",
    "console, cols, 0, -1",
    "console, max_nr_ports, 1, -1",
    "console, emerg_wr, 2, -1",
    "balloon, actual, -1, -1",
    "balloon, free_page_hint_cmd_id, 3, -1",
    "balloon, poison_val, 4, -1",
    "scsi, max_lun, -1, -1",
    "iommu, page_size_mask, -1, -1",
    "iommu, input_range.end, 0, -1",
    "iommu, domain_range.end, 1, -1",
    "iommu, probe_size, 4, -1",
    "iommu, bypass, 6, -1",
    "iommu, reserved, -1, -1",
    "mem, node_id, 0, -1",
    "mem, addr, -1, -1",
    "sound, chmaps, -1, -1",
    "sound, controls, 0, -1",
    "fs, num_request_queues, -1, -1",
    "fs, notify_buf_size, 0, -1",
    "pmem, start, -1, -1"
  })
  void fieldsDependOnTheirFeatures(String type, String name, int bit, int other) {
    Struct.Field field = field(type, name);
    for (int offered = 0; offered < 128; offered++) {
      boolean expected = bit == -1 || offered == bit || offered == other;
      assertEquals(expected, field.existsWith(FeatureBits.of(offered)), "with bit " + offered);
    }
    assertEquals(bit == -1, field.existsWith(FeatureBits.NONE));
    assertEquals(other == -1 ? bit : Math.min(bit, other), field.feature());
  }

  @Test
  void fieldsThatFillAGapAreKnown() {
    List<String> padding = new ArrayList<>();
    for (DeviceType type : DeviceType.values()) {
      for (Struct.Field field : type.config().fields()) {
        if (field.isPadding()) {
          padding.add(type.shortName() + " " + field.name() + " " + field.size());
        }
      }
    }
    assertEquals(
        List.of(
            "blk unused0 1",
            "blk unused1 3",
            "blk zoned.unused2 3",
            "input reserved 5",
            "iommu reserved 3",
            "mem padding 6",
            "gpio padding 2"),
        padding);
  }

  @Test
  void arraysAndTheirFormats() {
    assertEquals(6, field("net", "mac").size());
    assertEquals(Struct.Format.MAC, field("net", "mac").format());
    assertEquals(36, field("fs", "tag").size());
    assertEquals(Struct.Format.TEXT, field("fs", "tag").format());
    assertEquals(32, field("media", "card").count());
    assertEquals(128, field("input", "u").size());
    assertEquals(Struct.Format.HEX, field("input", "u").format());
    assertEquals(Struct.Format.DECIMAL, field("blk", "capacity").format());
  }

  @Test
  void noFieldOverlapsAnother() {
    for (DeviceType type : DeviceType.values()) {
      int at = 0;
      for (Struct.Field field : type.config().fields()) {
        assertEquals(at, field.offset(), type + " " + field.name());
        assertTrue(field.features().minus(type.features()).isEmpty(), field.name());
        at += field.size();
      }
      assertEquals(at, type.config().size());
    }
    assertFalse(DeviceType.named("blk").config().fields().isEmpty());
  }

  private static Struct.Field field(String type, String name) {
    return DeviceType.named(type).config().fields().stream()
        .filter(f -> f.name().equals(name))
        .findFirst()
        .orElseThrow();
  }
}
