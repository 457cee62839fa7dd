// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.TestDevice;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** The legacy interface, of a transitional device and of one that has no other. */
class FunctionLegacyTest {
  private static final String LAYOUT =
      "Virtio Over PCI Bus / Legacy Interfaces: A Note on PCI Device Layout";
  private static final String INITIALIZATION =
      "Device Initialization / Legacy Interface: Device Initialization";
  private static final int ANY_LAYOUT = 1 << ReservedFeatures.VIRTIO_F_ANY_LAYOUT;

  private static FunctionRig rig(PciProfile profile) {
    return new FunctionRig(FunctionRig.options(profile));
  }

  private static void place(FunctionRig rig, int queue) {
    long low = FunctionRig.LOW_RAM + rig.descriptors(queue) - FunctionRig.RAM;
    rig.setBar(0, 14, 2, queue);
    rig.setBar(0, 8, 4, low / 4096);
  }

  /** Up to where the queues are placed. */
  private static void prepare(FunctionRig rig) {
    rig.setConfig(4, 2, 7);
    rig.setBar(0, 18, 1, DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
    rig.setBar(0, 4, 4, 1 << TestDevice.FEATURE | ANY_LAYOUT);
    place(rig, 0);
    place(rig, 1);
  }

  private static void transfer(FunctionRig rig, int queue) {
    rig.add(queue);
    rig.setBar(0, 16, 2, queue);
    rig.owner.runUntilIdle();
  }

  @ParameterizedTest
  @EnumSource(mode = Mode.EXCLUDE, names = "MODERN")
  @Requirement(
      section = LAYOUT,
      text =
          "Transitional devices MUST present part of configuration registers in a legacy"
              + " configuration structure in BAR0 in the first I/O region of the PCI device")
  @Requirement(
      section = LAYOUT,
      text =
          "When used through the Legacy Interface, Transitional Devices MUST assume that Feature"
              + " Bits 32 to 63 are not acknowledged by Driver.")
  @Requirement(
      section = "Reserved Feature Bits / Legacy Interface: Reserved Feature Bits",
      text =
          "Transitional devices MUST offer, and if offered by the device transitional drivers MUST"
              + " accept the following: VIRTIO_F_ANY_LAYOUT (27)")
  void buffersComeBack(PciProfile profile) {
    try (FunctionRig rig = rig(profile)) {
      long offered = rig.bar(0, 0, 4);
      assertTrue((offered & ANY_LAYOUT) != 0);
      assertTrue((offered & 1 << TestDevice.FEATURE) != 0);
      for (int round = 0; round < 2; round++) {
        prepare(rig);
        assertEquals(1 << TestDevice.FEATURE | ANY_LAYOUT, rig.bar(0, 4, 4));
        assertEquals(16, rig.bar(0, 12, 2));
        assertEquals(1, rig.bar(0, 14, 2));
        assertEquals((FunctionRig.LOW_RAM + 0x4000) / 4096, rig.bar(0, 8, 4));
        rig.setBar(0, 18, 1, 7);
        transfer(rig, 1);
        assertEquals(1, rig.used(1));
        assertEquals(FeatureBits.of(TestDevice.FEATURE), rig.function.host().driverFeatures());
        assertTrue(rig.pin);
        assertEquals(1, rig.bar(0, 19, 1));
        assertFalse(rig.pin);
        assertEquals(7, rig.bar(0, 18, 1));
        assertEquals(0, rig.ignored());
        rig.setBar(0, 18, 1, 0);
        assertEquals(0, rig.bar(0, 18, 1));
        assertEquals(0, rig.bar(0, 8, 4));
        assertEquals(0, rig.bar(0, 14, 2));
        rig.clear(1);
      }
    }
  }

  @Test
  void aDeviceWithoutTheModernInterfaceHasNoStructures() {
    try (FunctionRig rig = rig(PciProfile.LEGACY)) {
      assertEquals(List.of(), rig.capabilities(9));
      assertFalse(rig.function.host().deviceFeatures().has(ReservedFeatures.VIRTIO_F_VERSION_1));
    }
  }

  @Test
  void bothInterfacesAreOneDevice() {
    try (FunctionRig rig = rig(PciProfile.TRANSITIONAL)) {
      // What the modern interface has accepted, the legacy one takes back.
      rig.negotiate();
      rig.setCommon(0x14, 1, 0);
      rig.setCommon(0x14, 1, 3);
      rig.accept(rig.offered());
      prepare(rig);
      rig.setBar(0, 18, 1, 7);
      assertEquals(FeatureBits.of(TestDevice.FEATURE), rig.function.host().driverFeatures());
      assertEquals(7, rig.common(0x14, 1));
      transfer(rig, 0);
      assertEquals(1, rig.used(0));
      assertEquals(0, rig.ignored());
      rig.setCommon(0x14, 1, 0);
      rig.clear(0);
      rig.start();
      rig.transfer(0);
      assertEquals(1, rig.used(0));
    }
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "The transitional device MUST support the driver writing device configuration fields"
              + " before the step Read feature bits.")
  @Requirement(
      section = INITIALIZATION,
      text =
          "The transitional device MUST support the driver using the device before the step Set"
              + " DRIVER-OK.")
  void oldDriversUseTheDeviceBeforeTheySaySo() {
    try (FunctionRig rig = rig(PciProfile.TRANSITIONAL)) {
      rig.setBar(0, 32, 2, 0x4321);
      assertEquals(0x4321, rig.device.config.get("half"));
      rig.setBar(0, 16, 2, 0); // no queue yet
      rig.setBar(0, 18, 1, 3);
      place(rig, 0);
      rig.setConfig(4, 2, 1); // nor bus master
      transfer(rig, 0);
      assertEquals(1, rig.used(0));
      assertEquals(5, rig.config(4, 2));
      assertEquals(3, rig.bar(0, 18, 1));
      // Their features are final by then.
      rig.ignored();
      rig.setBar(0, 4, 4, 1 << TestDevice.FEATURE);
      assertEquals(1, rig.ignored());
      place(rig, 1);
      rig.setBar(0, 18, 1, 7);
      assertEquals(7, rig.bar(0, 18, 1));
      transfer(rig, 1);
      assertEquals(1, rig.used(1));
      assertEquals(0, rig.ignored());
    }
  }

  @Test
  void aDeviceThatNobodyDrivesIsNotStarted() {
    try (FunctionRig rig = rig(PciProfile.TRANSITIONAL)) {
      place(rig, 0);
      transfer(rig, 0);
      assertEquals(0, rig.used(0));
      assertFalse(rig.function.host().isLive());
      // Nor one whose driver has not read what it accepts.
      rig.setBar(0, 18, 1, 3);
      rig.setBar(0, 4, 4, 1 << 23);
      transfer(rig, 0);
      assertFalse(rig.function.host().isLive());
    }
  }

  @Test
  void driversThatForgetToBecomeBusMasterAreHelped() {
    try (FunctionRig rig = rig(PciProfile.LEGACY)) {
      prepare(rig);
      rig.setConfig(4, 2, 1);
      rig.setBar(0, 18, 1, 7);
      assertEquals(5, rig.config(4, 2));
      transfer(rig, 0);
      assertEquals(1, rig.used(0));
    }
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "When using the legacy interface, transitional devices MUST present the device-specific"
              + " configuration space if any at an offset immediately following the general"
              + " headers.")
  void msixMovesTheConfiguration() {
    try (FunctionRig rig = rig(PciProfile.TRANSITIONAL)) {
      assertEquals(0x55667788L, rig.bar(0, 20, 4));
      rig.enableMsix();
      assertEquals(0xffff, rig.bar(0, 20, 2));
      assertEquals(0xffff, rig.bar(0, 22, 2));
      assertEquals(0x55667788L, rig.bar(0, 24, 4));
      rig.setBar(0, 20, 2, 2);
      rig.setBar(0, 14, 2, 1);
      rig.setBar(0, 22, 2, 1);
      assertEquals(2, rig.bar(0, 20, 2));
      assertEquals(1, rig.bar(0, 22, 2));
      rig.setBar(0, 22, 2, 3);
      assertEquals(0xffff, rig.bar(0, 22, 2));
      assertEquals(1, rig.ignored());
      rig.setBar(0, 22, 2, 1);
      prepare(rig);
      rig.vector(1, 0xfee0_0000L, 77);
      rig.setBar(0, 18, 1, 7);
      transfer(rig, 1);
      assertEquals(List.of(new FunctionRig.Message(1, 0xfee0_0000L, 77)), rig.messages);
      assertFalse(rig.pin);
      rig.setBar(0, 18, 1, 0);
      assertEquals(0xffff, rig.bar(0, 20, 2));
      rig.setConfig(rig.msix() + 2, 2, 0);
      assertEquals(0x55667788L, rig.bar(0, 20, 4));
    }
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "When using the legacy interface the driver MAY access the device-specific configuration"
              + " region using any width accesses, and a transitional device MUST present driver"
              + " with the same results as when accessed using the \"natural\" access method")
  void theConfigurationHasAnyWidth() {
    try (FunctionRig rig = rig(PciProfile.TRANSITIONAL)) {
      byte[] all = new byte[20];
      rig.device.config.read(0, all);
      for (int width : new int[] {1, 2, 4, 8}) {
        for (int at = 0; at + width <= 20; at++) {
          long value = 0;
          for (int i = 0; i < width; i++) {
            value |= (all[at + i] & 0xffL) << 8 * i;
          }
          assertEquals(value, rig.bar(0, 20 + at, width));
        }
      }
      rig.setBar(0, 20 + 12, 1, 0x11);
      rig.setBar(0, 20 + 13, 1, 0x22);
      assertEquals(0x2211, rig.device.config.get("half"));
      rig.setBar(0, 20 + 13, 4, 0x06050433);
      assertEquals(0x3311, rig.device.config.get("half"));
      assertEquals(0x060504, rig.bar(0, 20 + 14, 4) & 0xff_ffff);
      assertEquals(0, rig.ignored());
      rig.setBar(0, 20 + 6, 4, 0x04030201); // half of it read-only
      assertEquals(0x0201, rig.bar(0, 20 + 6, 2));
      assertEquals(0xbbcc, rig.bar(0, 20 + 8, 2));
      assertEquals(1, rig.ignored());
    }
  }

  @Test
  void theConfigurationOfABigEndianGuestIsInItsOrder() {
    PciOptions options = FunctionRig.options(PciProfile.TRANSITIONAL).withBigEndianGuest(true);
    try (FunctionRig rig = new FunctionRig(options)) {
      assertEquals(0x44332211L, rig.bar(0, 20, 4));
      assertEquals(0xeedd, rig.bar(0, 32, 2));
      rig.setBar(0, 32, 2, 0x2211);
      assertEquals(0x1122, rig.device.config.get("half"));
      rig.setBar(0, 33, 1, 0x33);
      assertEquals(0x1133, rig.device.config.get("half"));
      // The modern interface is little-endian all the same, and so are the registers.
      assertEquals(0x55667788L, rig.get(FunctionRig.DEVICE, 0, 4));
      assertEquals(16, rig.bar(0, 12, 2));
      assertEquals(0, rig.ignored());
    }
  }

  @Test
  void accessesThatAreNoneAreIgnored() {
    try (FunctionRig rig = rig(PciProfile.LEGACY)) {
      long size = rig.function.bars().get(0).window().size();
      assertEquals(64, size);
      int reads = 0;
      for (int at = -1; at < 20; at++) {
        for (int width : new int[] {1, 2, 4, 8}) {
          boolean four = (at == 0 || at == 4 || at == 8) && width == 4;
          boolean two = (at == 12 || at == 14 || at == 16) && width == 2;
          boolean one = (at == 18 || at == 19) && width == 1;
          rig.bar(0, at, width);
          reads += four || two || one ? 0 : 1;
          if (!(four || two || one)) {
            rig.setBar(0, at, width, -1);
          }
        }
      }
      assertEquals(reads, rig.function.counters().ignoredReads());
      assertEquals(reads, rig.function.counters().ignoredWrites());
      rig.ignored();
      rig.setBar(0, 0, 4, -1);
      rig.setBar(0, 12, 2, 4);
      rig.setBar(0, 19, 1, 1);
      rig.setBar(0, size, 1, 1);
      rig.bar(0, size, 1);
      rig.bar(0, 20 + 20, 1);
      rig.setBar(0, 16, 2, 2);
      rig.setBar(0, 14, 2, 2);
      assertEquals(0, rig.bar(0, 12, 2));
      rig.setBar(0, 8, 4, 0x100);
      rig.setBar(0, 8, 4, 0);
      assertEquals(9, rig.ignored());
    }
  }

  @Test
  void aQueueOutsideOfMemoryBreaksTheDevice() {
    try (FunctionRig rig = rig(PciProfile.LEGACY)) {
      prepare(rig);
      rig.setBar(0, 8, 4, 0);
      rig.setBar(0, 8, 4, 0xffff_ffffL);
      assertEquals(0xffff_ffffL, rig.bar(0, 8, 4));
      rig.setBar(0, 18, 1, 7);
      assertEquals(7 | DeviceStatus.DEVICE_NEEDS_RESET, rig.bar(0, 18, 1));
      rig.setBar(0, 16, 2, 1);
      rig.owner.runUntilIdle();
      rig.setBar(0, 18, 1, 0);
      prepare(rig);
      rig.setBar(0, 18, 1, 7);
      transfer(rig, 1);
      assertEquals(1, rig.used(1));
    }
  }
}
