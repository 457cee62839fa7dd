// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Numbers of the specification, written down a second time. */
class SpecTest {
  @ParameterizedTest
  @CsvSource({
    "capacity, 0",
    "size_max, 8",
    "seg_max, 12",
    "geometry.cylinders, 16",
    "geometry.heads, 18",
    "geometry.sectors, 19",
    "blk_size, 20",
    "topology.physical_block_exp, 24",
    "topology.alignment_offset, 25",
    "topology.min_io_size, 26",
    "topology.opt_io_size, 28",
    "writeback, 32",
    "unused0, 33",
    "num_queues, 34",
    "max_discard_sectors, 36",
    "max_discard_seg, 40",
    "discard_sector_alignment, 44",
    "max_write_zeroes_sectors, 48",
    "max_write_zeroes_seg, 52",
    "write_zeroes_may_unmap, 56",
    "unused1, 57",
    "max_secure_erase_sectors, 60",
    "max_secure_erase_seg, 64",
    "secure_erase_sector_alignment, 68",
    "zoned.zone_sectors, 72",
    "zoned.model, 92"
  })
  void theBlockConfigurationIsLaidOutAsSpecified(String field, int offset) {
    assertEquals(offset, VirtioBlk.CONFIG.offset(field));
  }

  @Test
  void structuresHaveTheirSizes() {
    assertEquals(96, VirtioBlk.CONFIG.size());
    assertEquals(16, VirtioBlk.REQ_HEADER.size());
    assertEquals(8, VirtioBlk.REQ_HEADER.offset("sector"));
    assertEquals(16, VirtioBlk.DISCARD_WRITE_ZEROES.size());
    assertEquals(12, VirtioBlk.DISCARD_WRITE_ZEROES.offset("flags"));
    assertThrows(IllegalArgumentException.class, () -> VirtioBlk.CONFIG.offset("nothing"));
    assertThrows(IllegalStateException.class, () -> Struct.named("wrong").le32("one").size(5));
    Struct.Field unused = VirtioBlk.CONFIG.fields().get(20);
    assertEquals("unused1", unused.name());
    assertEquals(3, unused.size());
    assertEquals(-1, unused.feature());
    assertEquals(
        VirtioBlk.VIRTIO_BLK_F_MQ,
        VirtioBlk.CONFIG.fields().stream()
            .filter(f -> f.name().equals("num_queues"))
            .findFirst()
            .orElseThrow()
            .feature());
  }

  @Test
  void queueSizesArePowersOfTwoUpTo32768() {
    int valid = 0;
    for (int size = -10; size <= 70_000; size++) {
      if (SplitRing.isValidQueueSize(size)) {
        valid++;
        assertEquals(16L * size, SplitRing.descSize(size));
        assertEquals(6 + 2L * size, SplitRing.availSize(size));
        assertEquals(6 + 8L * size, SplitRing.usedSize(size));
      }
    }
    assertEquals(16, valid);
    assertTrue(SplitRing.isValidQueueSize(1));
    assertTrue(SplitRing.isValidQueueSize(32768));
    assertFalse(SplitRing.isValidQueueSize(65536));
    assertFalse(SplitRing.isValidQueueSize(Integer.MIN_VALUE));
  }

  @Test
  void statusIsDescribedByTheNamesOfItsBits() {
    assertEquals("0", DeviceStatus.describe(0));
    assertEquals("ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK", DeviceStatus.describe(15));
    assertEquals("DEVICE_NEEDS_RESET|FAILED|0x20", DeviceStatus.describe(0xe0));
  }

  @Test
  void deviceTypesAreFoundByTheirIds() {
    for (DeviceType type : DeviceType.values()) {
      assertEquals(type, DeviceType.of(type.id()));
      assertFalse(type.shortName().isEmpty());
    }
    assertEquals(2, DeviceType.BLOCK.id());
    assertEquals(4, DeviceType.ENTROPY.id());
    assertNull(DeviceType.of(0));
    assertNull(DeviceType.of(-1));
  }
}
