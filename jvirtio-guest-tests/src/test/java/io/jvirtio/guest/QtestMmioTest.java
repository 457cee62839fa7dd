// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.driver.DriverTransport;
import io.jvirtio.qtest.QtestDevice;
import io.jvirtio.qtest.QtestMachine;
import io.jvirtio.transport.mmio.MmioDriverTransport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Our virtio-mmio driver on the devices of a microvm of QEMU, without a guest. */
@Timeout(300)
class QtestMmioTest {
  @TempDir Path folder;

  // With 8 places their interrupts are at 5 or at 16 and up; with 24, on another controller.
  @ParameterizedTest
  @CsvSource({
    "1, 'acpi=off', mmio@0xfeb00e00, mmio@0xfeb00c00",
    "2, 'acpi=off', mmio@0xfeb00e00, mmio@0xfeb00c00",
    "1, 'ioapic2=off', mmio@0xfeb00e00, mmio@0xfeb00c00",
    "2, 'ioapic2=off', mmio@0xfeb00e00, mmio@0xfeb00c00",
    "1, 'ioapic2=on', mmio@0xfeb02e00, mmio@0xfeb02c00",
    "2, 'ioapic2=on', mmio@0xfeb02e00, mmio@0xfeb02c00",
  })
  void drivesADiskAndASourceOfEntropy(int version, String options, String disk, String rng)
      throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    try (QtestQemu qemu = start(version, options, image);
        QtestMachine machine = qemu.connect()) {
      String interfaces = version == 1 ? "legacy" : "modern";
      assertEquals(
          List.of(interfaces, interfaces),
          machine.devices().stream().map(QtestDevice::interfaces).toList());
      DriverTransport first = open(machine, disk);
      assertEquals(version == 1, first.isLegacy());
      assertEquals(2, first.deviceId());
      RegisterDisk.readAndWrite(first, image);
      RegisterDisk.takeEntropy(open(machine, rng));
      RegisterDisk.readAndWrite(open(machine, disk), image);
      RegisterDisk.hearsOfItsSize(open(machine, disk), qemu::resize);
    }
  }

  private QtestQemu start(int version, String options, Path image) throws Exception {
    return new QtestQemu(
        folder,
        "microvm," + options,
        image,
        "-global",
        "virtio-mmio.force-legacy=" + (version == 1 ? "on" : "off"),
        "-device",
        "virtio-blk-device,drive=d",
        "-device",
        "virtio-rng-device");
  }

  private static DriverTransport open(QtestMachine machine, String address) throws IOException {
    return new MmioDriverTransport(machine.openMmio(machine.device(address)));
  }
}
