// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Firmware, whose drivers of virtio disks are its own, boots from the device. */
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

  @ParameterizedTest
  @CsvSource({
    "MODERN_MSIX, q35, true",
    "TRANSITIONAL_INTX, pc, true",
    "LEGACY_MSIX, pc, false",
  })
  void seaBiosBootsFromThePciFunction(Bus bus, String type, boolean modern) throws Exception {
    Path image = Host.image(folder, "boot.img", 1 << 20);
    BootSector.write(image, "FIRST-SECTOR-RUNS", "SECOND-SECTOR-READ");
    try (ServedDisk disk = serve(image, bus);
        Guest guest = Guest.on(Machine.DEBIAN_13, folder).type(type).disk(disk).bootFirmware()) {
      guest.await("FIRST-SECTOR-RUNS");
      guest.await("SECOND-SECTOR-READ");
      assertTrue(disk.requests(BlkRequestType.IN) >= 2, disk.device().stats().toString());
      assertEquals(modern, disk.stats().negotiated().has(ReservedFeatures.VIRTIO_F_VERSION_1));
      assertEquals(0, disk.stats().faults());
    }
  }

  private ServedDisk serve(Path image, Bus bus) throws Exception {
    return new ServedDisk(image, folder.resolve("boot.sock"), BlkOptions.defaults(), bus);
  }

  /**
   * EDK2 reads a kernel and its initial RAM disk from a file system on the disk, and starts them;
   * then Linux drives the same disk. EDK2 takes a transitional device for a legacy one.
   */
  @ParameterizedTest
  @CsvSource({"DEBIAN_12, TRANSITIONAL_INTX, pc", "DEBIAN_13, MODERN_MSIX, q35"})
  void edk2StartsLinuxFromThePciFunction(Machine machine, Bus bus, String type) throws Exception {
    String script = "say sum=$(sha256sum </dev/vda | cut -d' ' -f1)\n";
    String start = "fs0:\\linux.efi initrd=\\initrd.img console=ttyS0 quiet panic=-1\r\n";
    Path image = folder.resolve("boot.img");
    FatImage.write(
        image,
        Map.of(
            "LINUX   EFI",
            Files.readAllBytes(machine.kernel()),
            "INITRD  IMG",
            Initramfs.make(machine, script, Map.of()),
            "STARTUP NSH",
            start.getBytes(StandardCharsets.US_ASCII)));
    try (ServedDisk disk = serve(image, bus);
        Guest guest =
            Guest.on(machine, folder)
                .type(type)
                .patience(Duration.ofSeconds(180))
                .firmware("/usr/share/qemu/OVMF.fd")
                .disk(disk)
                .bootFirmware()) {
      guest.await("in 5 seconds to skip");
      guest.type("");
      guest.awaitEnd();
      assertEquals(Host.sha256(image), guest.value("sum"));
      assertTrue(disk.stats().negotiated().has(ReservedFeatures.VIRTIO_F_VERSION_1));
      assertEquals(0, disk.stats().faults());
      assertEquals(0, disk.stats().protocolFaults());
    }
  }

  /** U-Boot finds the disk and reads it. It takes a transitional device for a legacy one. */
  @ParameterizedTest
  @CsvSource({"MODERN_MSIX, true", "TRANSITIONAL_MSIX, false", "LEGACY_INTX, false"})
  void uBootListsThePciFunction(Bus bus, boolean modern) throws Exception {
    Path image = Host.image(folder, "boot.img", 3 << 20);
    BootSector.write(image, "FIRST", "SECOND");
    try (ServedDisk disk = serve(image, bus);
        Guest guest =
            Guest.on(Machine.DEBIAN_13, folder)
                .firmware("/usr/lib/u-boot/qemu-x86_64/u-boot.rom")
                .disk(disk)
                .bootFirmware()) {
      guest.await("Model: QEMU x86");
      guest.type("");
      guest.await("Hit any key to stop autoboot");
      guest.type("virtio scan");
      guest.type("virtio info");
      guest.await("VirtIO Block Device");
      guest.await("(6144 x 512)");
      guest.type("virtio read 2000000 1 1");
      guest.await("blocks read: OK");
      guest.type("md.b 2000000 6");
      guest.await("53 45 43 4f 4e 44");
      assertEquals(modern, disk.stats().negotiated().has(ReservedFeatures.VIRTIO_F_VERSION_1));
      assertEquals(0, disk.stats().faults());
    }
  }
}
