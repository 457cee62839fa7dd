// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.pci.PciProfile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Whole PCI devices of every kind in one guest, each with data written and read back. */
class PciDiskTest {
  private static final long SIZE = 16L << 20;

  // Which interrupts the driver has got, and what the device says it is.
  private static final String EACH_FUNCTION =
      """
      for disk in /sys/block/vd*; do
        serial=$(cat $disk/serial)
        function=$(readlink -f $disk/device/..)
        irq=intx
        ! grep -q "MSI.* $(basename $(readlink $disk/device))-" /proc/interrupts || irq=msix
        say $serial.irq=$irq
        say $serial.id=$(cat $function/vendor) $(cat $function/device)
        say $serial.class=$(cat $function/class)
      done
      """;

  /** One disk of the guest; its name is its serial number. */
  private record Variant(Bus bus, boolean packed) {
    @Override
    public String toString() {
      return bus + (packed ? "-P" : "");
    }

    FeatureBits ringFeatures() {
      FeatureBits usual = DeviceHost.ringFeatures();
      return packed ? usual : usual.minus(FeatureBits.of(ReservedFeatures.VIRTIO_F_RING_PACKED));
    }
  }

  @TempDir Path folder;

  private static List<Variant> variants(boolean forceLegacy) {
    List<Variant> variants = new ArrayList<>();
    for (Bus bus : Bus.values()) {
      if (!bus.isPci() || (forceLegacy && bus.profile() != PciProfile.TRANSITIONAL)) {
        continue;
      }
      variants.add(new Variant(bus, false));
      if (bus.profile() != PciProfile.LEGACY && !forceLegacy) {
        variants.add(new Variant(bus, true));
      }
    }
    return variants;
  }

  @ParameterizedTest
  @CsvSource({"DEBIAN_12, false", "DEBIAN_12, true", "DEBIAN_13, false", "DEBIAN_13, true"})
  void everyProfileWithEachInterruptKeepsWhatIsWritten(Machine machine, boolean forceLegacy)
      throws Exception {
    Guest.Builder builder = Guest.on(machine, folder);
    if (forceLegacy) {
      builder.moduleOption("virtio_pci", "force_legacy=1");
    }
    boot(builder, variants(forceLegacy), forceLegacy);
  }

  /** What the device reads and writes then goes over the socket. */
  @ParameterizedTest
  @EnumSource(
      value = Machine.class,
      names = {"DEBIAN_12", "DEBIAN_13"})
  void memoryThatIsNotShared(Machine machine) throws Exception {
    List<Variant> variants =
        List.of(
            new Variant(Bus.MODERN_MSIX, false),
            new Variant(Bus.MODERN_MSIX, true),
            new Variant(Bus.TRANSITIONAL_INTX, false),
            new Variant(Bus.TRANSITIONAL_INTX, true),
            new Variant(Bus.LEGACY_INTX, false));
    boot(Guest.on(machine, folder).ownMemory(), variants, false);
  }

  private void boot(Guest.Builder builder, List<Variant> variants, boolean forceLegacy)
      throws Exception {
    List<ServedDisk> disks = new ArrayList<>();
    try {
      builder.patience(Duration.ofSeconds(120));
      for (Variant variant : variants) {
        ServedDisk disk =
            new ServedDisk(
                Host.image(folder, variant + ".img", SIZE),
                folder.resolve(variant + ".sock"),
                BlkOptions.builder().serial(variant.toString()).queues(2).build(),
                variant.ringFeatures(),
                variant.bus());
        disks.add(disk);
        builder.disk(disk);
      }
      try (Guest guest = builder.boot(DiskOptionsTest.EACH_DISK + EACH_FUNCTION)) {
        guest.awaitEnd();
        assertAll(
            variants.stream()
                .map(v -> () -> check(v, disks.get(variants.indexOf(v)), guest, forceLegacy)));
      }
    } finally {
      disks.forEach(ServedDisk::close);
    }
  }

  private void check(Variant variant, ServedDisk disk, Guest guest, boolean forceLegacy)
      throws Exception {
    String name = variant.toString();
    byte[] image = Files.readAllBytes(folder.resolve(name + ".img"));
    byte[] written = Arrays.copyOfRange(image, 3 * 65536, 67 * 65536);
    assertEquals(guest.value(name + ".sum"), Host.sha256(written), name);
    assertEquals(variant.bus().msix() ? "msix" : "intx", guest.value(name + ".irq"), name);
    boolean old = variant.bus().profile() != PciProfile.MODERN;
    assertEquals(old ? "0x1af4 0x1001" : "0x1af4 0x1042", guest.value(name + ".id"), name);
    FeatureBits negotiated = disk.stats().negotiated();
    String names = name + ": " + negotiated;
    assertEquals(
        variant.bus().profile() != PciProfile.LEGACY && !forceLegacy,
        negotiated.has(ReservedFeatures.VIRTIO_F_VERSION_1),
        names);
    assertEquals(variant.packed(), negotiated.has(ReservedFeatures.VIRTIO_F_RING_PACKED), names);
    String accepted = guest.value(name + ".features");
    for (int bit : variant.ringFeatures().bits()) {
      assertEquals(accepted.charAt(bit) == '1', negotiated.has(bit), names + ", bit " + bit);
    }
    assertTrue(disk.stats().interrupts() > 0, name);
    assertEquals(0, disk.stats().faults(), name);
    assertEquals(0, disk.stats().protocolFaults(), name);
    assertEquals(0, disk.device().stats().ioErrors(), name);
  }
}
