// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** SeaBIOS, whose driver of virtio disks is its own, boots from the device. */
class FirmwareBootTest {
  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, disable-legacy=off, true",
    "DEBIAN_12, disable-legacy=on, true",
    "DEBIAN_12, disable-modern=on, false",
    "DEBIAN_13, disable-legacy=off, true",
    "DEBIAN_13, disable-legacy=on, true",
    "DEBIAN_13, disable-modern=on, false",
  })
  void seaBiosBootsFromTheDisk(Machine machine, String option, boolean modern) throws Exception {
    Path image = Host.image(folder, "boot.img", 1 << 20);
    BootSector.write(image, "FIRST-SECTOR-RUNS", "SECOND-SECTOR-READ");
    try (ServedDisk disk =
            new ServedDisk(image, folder.resolve("boot.sock"), BlkOptions.defaults());
        Guest guest =
            Guest.on(machine, folder).disk(disk.socket(), "bootindex=0", option).bootFirmware()) {
      guest.await("FIRST-SECTOR-RUNS");
      guest.await("SECOND-SECTOR-READ");
      assertTrue(disk.requests(BlkRequestType.IN) >= 2, disk.device().stats().toString());
      assertEquals(modern, disk.stats().negotiated().has(ReservedFeatures.VIRTIO_F_VERSION_1));
      assertEquals(0, disk.stats().faults());
    }
  }
}
