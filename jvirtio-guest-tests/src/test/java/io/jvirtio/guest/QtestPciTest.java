// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.driver.DriverTransport;
import io.jvirtio.qtest.QtestDevice;
import io.jvirtio.qtest.QtestMachine;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
import io.jvirtio.transport.pci.PciDriverTransport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Our PCI driver on the devices of QEMU, without a guest. */
@Timeout(300)
class QtestPciTest {
  @TempDir Path folder;

  /** What the device has, and what the driver uses of it. */
  enum Interface {
    MODERN("disable-legacy=on", Choice.MODERN_FIRST, false, "modern"),
    TRANSITIONAL(
        "disable-legacy=off,disable-modern=off", Choice.MODERN_FIRST, false, "transitional"),
    TRANSITIONAL_AS_LEGACY(
        "disable-legacy=off,disable-modern=off", Choice.LEGACY, true, "transitional"),
    LEGACY("disable-legacy=off,disable-modern=on", Choice.MODERN_FIRST, true, "legacy");

    private final String properties;
    private final Choice choice;
    private final boolean legacy;
    private final String shown;

    Interface(String properties, Choice choice, boolean legacy, String shown) {
      this.properties = properties;
      this.choice = choice;
      this.legacy = legacy;
      this.shown = shown;
    }
  }

  /** How it interrupts. */
  enum Interrupts {
    /** A vector for each queue, and no other attempt. */
    MSIX_EACH("", Attempt.MSIX_EACH),
    /** Two vectors. */
    MSIX_SHARED(",vectors=2", Attempt.values()),
    /** A device without MSI-X: what remains is the pin. */
    NO_MSIX(",vectors=0", Attempt.values()),
    /** The pin of a device that has MSI-X. */
    INTX("", Attempt.INTX);

    private final String properties;
    private final Attempt[] attempts;

    Interrupts(String properties, Attempt... attempts) {
      this.properties = properties;
      this.attempts = attempts;
    }
  }

  record Case(String machine, Interface kind, Interrupts interrupts) {
    private String device(String name) {
      return name + "," + kind.properties + interrupts.properties;
    }

    private PciDriverOptions options() {
      return PciDriverOptions.defaults().withChoice(kind.choice).withAttempts(interrupts.attempts);
    }
  }

  static Stream<Case> all() {
    List<Case> cases = new ArrayList<>();
    for (String machine : List.of("q35", "pc")) {
      for (Interface kind : Interface.values()) {
        for (Interrupts interrupts : Interrupts.values()) {
          cases.add(new Case(machine, kind, interrupts));
        }
      }
    }
    return cases.stream();
  }

  @ParameterizedTest
  @MethodSource("all")
  void drivesADiskAndASourceOfEntropy(Case here) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    try (QtestQemu qemu =
            new QtestQemu(
                folder,
                here.machine,
                image,
                "-device",
                here.device("virtio-blk-pci,drive=d,addr=05.0"),
                "-device",
                here.device("virtio-rng-pci,addr=06.0"));
        QtestMachine machine = qemu.connect()) {
      assertEquals(
          List.of(here.kind.shown, here.kind.shown),
          machine.devices().stream().map(QtestDevice::interfaces).toList());
      DriverTransport disk = open(machine, "00:05.0", here.options());
      assertEquals(here.kind.legacy, disk.isLegacy());
      assertEquals(2, disk.deviceId());
      RegisterDisk.readAndWrite(disk, image);
      RegisterDisk.takeEntropy(open(machine, "00:06.0", here.options()));
      // What was closed can be opened again.
      RegisterDisk.readAndWrite(open(machine, "00:05.0", here.options()), image);
    }
  }

  private static DriverTransport open(
      QtestMachine machine, String address, PciDriverOptions options) throws IOException {
    return new PciDriverTransport(machine.openPci(machine.device(address)), options);
  }

  @ParameterizedTest
  @EnumSource(names = {"MSIX_EACH", "MSIX_SHARED", "NO_MSIX"})
  void aChangedConfigurationInterrupts(Interrupts interrupts) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    Case here = new Case("q35", Interface.MODERN, interrupts);
    try (QtestQemu qemu =
            new QtestQemu(folder, "q35", image, "-device", here.device("virtio-blk-pci,drive=d"));
        QtestMachine machine = qemu.connect()) {
      RegisterDisk.hearsOfItsSize(open(machine, null, here.options()), qemu::resize);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"MSIX_EACH", "INTX"})
  void devicesBehindRootPortsAndBridges(Interrupts interrupts) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    PciDriverOptions options = new Case("", Interface.MODERN, interrupts).options();
    try (QtestQemu qemu =
            new QtestQemu(
                folder,
                "q35",
                image,
                "-device",
                "pcie-root-port,id=r,chassis=1,slot=1,addr=3",
                "-device",
                "virtio-blk-pci,drive=d,bus=r",
                "-device",
                "pcie-root-port,id=s,chassis=2,slot=2,addr=7",
                "-device",
                "pcie-pci-bridge,id=b,bus=s",
                "-device",
                "virtio-rng-pci,bus=b,addr=6");
        QtestMachine machine = qemu.connect()) {
      assertEquals(
          List.of("0000:01:00.0", "0000:03:06.0"),
          machine.devices().stream().map(QtestDevice::address).toList());
      RegisterDisk.readAndWrite(open(machine, "01:00.0", options), image);
      RegisterDisk.takeEntropy(open(machine, "03:06.0", options));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 3, 4, 0x18, 0x19, 0x1b, 0x1d, 0x1e})
  void everySlotOfAQ35HasItsLine(int slot) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    String device = "virtio-rng-pci,vectors=0,addr=" + Integer.toHexString(slot);
    try (QtestQemu qemu = new QtestQemu(folder, "q35", image, "-device", device);
        QtestMachine machine = qemu.connect()) {
      RegisterDisk.takeEntropy(open(machine, null, PciDriverOptions.defaults()));
    }
  }

  @Test
  void anotherConnectionFindsTheSame() throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    try (QtestQemu qemu =
        new QtestQemu(folder, "pc", image, "-device", "virtio-blk-pci,drive=d,vectors=0")) {
      for (int i = 0; i < 3; i++) {
        try (QtestMachine machine = qemu.connect()) {
          RegisterDisk.readAndWrite(open(machine, null, PciDriverOptions.defaults()), image);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"MSIX_EACH", "INTX"})
  void requestsFailWhenTheMachineDies(Interrupts interrupts) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    PciDriverOptions options = new Case("", Interface.MODERN, interrupts).options();
    try (QtestQemu qemu = new QtestQemu(folder, "q35", image, "-device", "virtio-blk-pci,drive=d");
        QtestMachine machine = qemu.connect()) {
      RegisterDisk.failsWith(open(machine, null, options), qemu.peer()::kill);
    }
  }

  @Test
  void aMachineThatDiesIsAnError() throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, RegisterDisk.SIZE);
    try (QtestQemu qemu = new QtestQemu(folder, "q35", image, "-device", "virtio-blk-pci,drive=d");
        QtestMachine machine = qemu.connect()) {
      DriverTransport disk = open(machine, null, PciDriverOptions.defaults());
      disk.reset();
      qemu.peer().kill();
      assertThrows(IOException.class, disk::reset);
      disk.close();
    }
  }
}
