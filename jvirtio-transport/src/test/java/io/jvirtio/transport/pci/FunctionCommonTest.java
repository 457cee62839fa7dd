// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.TestDevice;
import org.junit.jupiter.api.Test;

/** The structures of the modern interface. */
class FunctionCommonTest {
  private static final String COMMON =
      "Virtio Over PCI Bus / Common configuration structure layout";
  private static final String LAYOUT = "Virtio Over PCI Bus / PCI Device Layout";

  private final FunctionRig rig = new FunctionRig(PciOptions.defaults());

  @Test
  @Requirement(
      section = COMMON,
      text =
          "The device MUST present the feature bits it is offering in device_feature, starting at"
              + " bit device_feature_select * 32 for any device_feature_select written by the"
              + " driver.")
  @Requirement(
      section = COMMON,
      text =
          "The device MUST present any valid feature bits the driver has written in driver_feature,"
              + " starting at bit driver_feature_select * 32 for any driver_feature_select written"
              + " by the driver.")
  void featuresAreShownByTheWord() {
    assertEquals(rig.function.host().deviceFeatures(), rig.offered());
    assertTrue(rig.offered().has(TestDevice.FEATURE));
    assertFalse(rig.offered().has(ReservedFeatures.VIRTIO_F_ANY_LAYOUT));
    for (long select : new long[] {4, 0x7fff_ffff, 0xffff_ffffL}) {
      rig.setCommon(0, 4, select);
      rig.setCommon(8, 4, select);
      assertEquals(select, rig.common(0, 4));
      assertEquals(0, rig.common(4, 4));
      assertEquals(0, rig.common(0xc, 4));
      rig.setCommon(0xc, 4, 0);
    }
    assertEquals(0, rig.ignored());
    rig.setCommon(0xc, 4, 1);
    assertEquals(1, rig.ignored());
    rig.accept(rig.offered());
    rig.setCommon(8, 4, 0);
    assertEquals(rig.offered().low() & 0xffff_ffffL, rig.common(0xc, 4));
    rig.setCommon(8, 4, 1);
    assertEquals(rig.offered().low() >>> 32, rig.common(0xc, 4));
  }

  @Test
  void fieldsHaveTheirOwnWidth() {
    int[] widths = new int[0x40];
    for (int at : new int[] {0, 4, 8, 0xc, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34}) {
      widths[at] = 4;
    }
    for (int at = 0x16; at < 0x20; at += 2) {
      widths[at] = 2;
    }
    for (int at : new int[] {0x10, 0x12, 0x38, 0x3a, 0x3c, 0x3e}) {
      widths[at] = 2;
    }
    widths[0x14] = 1;
    widths[0x15] = 1;
    for (int at = -1; at < 0x48; at++) {
      for (int width : new int[] {1, 2, 4, 8}) {
        rig.ignored();
        boolean wide = width == 8 && (at == 0x20 || at == 0x28 || at == 0x30);
        boolean fits = at >= 0 && at < 0x40 && widths[at] == width || wide;
        rig.bar(4, at, width);
        assertEquals(fits ? 0 : 1, rig.ignored(), at + " by " + width);
        if (!fits) {
          rig.setBar(4, at, width, -1);
          assertEquals(1, rig.ignored(), at + " by " + width);
        }
      }
    }
    assertEquals(0, rig.common(0x14, 1));
  }

  @Test
  @Requirement(section = COMMON, text = "The device MUST present a 0 in queue_enable on reset.")
  @Requirement(
      section = COMMON,
      text =
          "The device MUST present a 0 in queue_size if the virtqueue corresponding to the current"
              + " queue_select is unavailable.")
  @Requirement(
      section = COMMON,
      text =
          "If VIRTIO_F_RING_PACKED has not been negotiated, the device MUST present either a value"
              + " of 0 or a power of 2 in queue_size.")
  void queuesAreSetUp() {
    assertEquals(2, rig.common(0x12, 2));
    rig.negotiate();
    rig.setCommon(0x16, 2, 1);
    assertEquals(16, rig.common(0x18, 2));
    rig.setCommon(0x18, 2, 8);
    assertEquals(8, rig.common(0x18, 2));
    for (int size : new int[] {0, 7, 32, 0xffff}) {
      rig.setCommon(0x18, 2, size);
      assertEquals(8, rig.common(0x18, 2));
    }
    assertEquals(4, rig.ignored());
    rig.setCommon(0x28, 8, 0x1122334455667788L);
    assertEquals(0x55667788L, rig.common(0x28, 4));
    rig.setCommon(0x2c, 4, 0x99aabbccL);
    assertEquals(0x99aabbcc55667788L, rig.common(0x28, 8));
    assertEquals(0x99aabbccL, rig.common(0x2c, 4));
    assertEquals(0, rig.common(0x30, 8));
    assertEquals(0, rig.common(0x1c, 2));
    rig.enable(1);
    assertEquals(1, rig.common(0x1c, 2));
    assertEquals(rig.descriptors(1), rig.common(0x20, 8));
    assertEquals(0, rig.ignored());
    for (int write : new int[] {0, 1, 2}) {
      rig.setCommon(0x1c, 2, write);
    }
    rig.setCommon(0x18, 2, 4);
    rig.setCommon(0x20, 4, 0);
    assertEquals(5, rig.ignored());
    assertEquals(1, rig.common(0x1c, 2));
    assertEquals(8, rig.common(0x18, 2));
    rig.setCommon(0x16, 2, 2);
    for (int at = 0x18; at < 0x20; at += 2) {
      assertEquals(at == 0x1a ? 0xffff : 0, rig.common(at, 2));
    }
    rig.setCommon(0x1c, 2, 1);
    rig.setCommon(0x18, 2, 4);
    rig.setCommon(0x1a, 2, 0);
    rig.setCommon(0x20, 4, 4096);
    rig.setCommon(0x3a, 2, 1);
    assertEquals(5, rig.ignored());
    rig.setCommon(0x14, 1, 0);
    assertEquals(0, rig.common(0x16, 2));
    rig.setCommon(0x16, 2, 1);
    assertEquals(0, rig.common(0x1c, 2));
    assertEquals(16, rig.common(0x18, 2));
    assertEquals(0, rig.common(0x20, 8));
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "The device MUST reset when 0 is written to device_status, and present a 0 in"
              + " device_status once that is done.")
  void zeroResets() {
    rig.start();
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    assertEquals(0xf, rig.common(0x14, 1));
    assertEquals(0, rig.device.resets);
    rig.setCommon(0x14, 1, 0);
    assertEquals(1, rig.device.resets);
    assertEquals(0, rig.common(0x14, 1));
    rig.setCommon(8, 4, 1);
    assertEquals(0, rig.common(0xc, 4));
    rig.transfer(1);
    assertEquals(1, rig.used(1));
  }

  @Test
  void whatWasNegotiatedStays() {
    rig.start();
    rig.accept(rig.offered());
    assertEquals(4, rig.ignored());
    assertFalse(rig.function.host().driverFeatures().has(ReservedFeatures.VIRTIO_F_RING_PACKED));
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "If VIRTIO_F_RING_RESET has been negotiated, the device MUST present a 0 in queue_reset"
              + " on reset.")
  @Requirement(
      section = COMMON,
      text =
          "If VIRTIO_F_RING_RESET has been negotiated, the device MUST present a 0 in queue_reset"
              + " after the virtqueue is enabled with queue_enable.")
  @Requirement(
      section = COMMON,
      text =
          "The device MUST reset the queue when 1 is written to queue_reset. The device MUST"
              + " continue to present 1 in queue_reset as long as the queue reset is ongoing. The"
              + " device MUST present 0 in both queue_reset and queue_enable when queue reset has"
              + " completed.")
  void aQueueIsReset() {
    rig.setCommon(0x3a, 2, 1);
    assertEquals(1, rig.ignored());
    rig.start();
    rig.transfer(0);
    rig.transfer(1);
    rig.setCommon(0x16, 2, 1);
    assertEquals(0, rig.common(0x3a, 2));
    rig.setCommon(0x3a, 2, 1);
    assertEquals(0, rig.common(0x3a, 2));
    assertEquals(0, rig.common(0x1c, 2));
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    rig.transfer(0);
    assertEquals(2, rig.used(0));
    rig.clear(1);
    rig.enable(1);
    assertEquals(0, rig.common(0x3a, 2));
    assertEquals(1, rig.common(0x1c, 2));
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    rig.setCommon(0x3a, 2, 2);
    assertEquals(1, rig.ignored());
  }

  @Test
  void thereIsNoAdministrationQueue() {
    assertEquals(0, rig.common(0x3c, 2));
    assertEquals(0, rig.common(0x3e, 2));
  }

  @Test
  void notificationsNameTheQueueByTheirValue() {
    rig.start();
    rig.add(1);
    rig.set(FunctionRig.NOTIFY, 0, 2, 1);
    rig.owner.runUntilIdle();
    assertEquals(1, rig.used(1));
    rig.set(FunctionRig.NOTIFY, 0, 4, 1);
    assertEquals(0, rig.ignored());
    rig.set(FunctionRig.NOTIFY, 0, 2, 2);
    rig.set(FunctionRig.NOTIFY, 0, 2, 0xffff);
    rig.set(FunctionRig.NOTIFY, 0, 4, 0x1_0000);
    assertEquals(3, rig.function.counters().ignoredNotifications());
    rig.set(FunctionRig.NOTIFY, 0, 1, 0);
    rig.set(FunctionRig.NOTIFY, 0, 8, 0);
    rig.set(FunctionRig.NOTIFY, 2, 2, 0);
    rig.set(FunctionRig.NOTIFY, 8, 2, 0);
    rig.get(FunctionRig.NOTIFY, 0, 2);
    assertEquals(4, rig.function.counters().ignoredWrites());
    assertEquals(1, rig.function.counters().ignoredReads());
  }

  @Test
  void notificationsMayCarryData() throws PeerFault {
    try (FunctionRig other =
        new FunctionRig(
            FunctionRig.with(
                ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
                ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA))) {
      other.setCommon(0x16, 2, 1);
      assertEquals(0, other.common(0x38, 2));
      other.start();
      other.setCommon(0x16, 2, 1);
      assertEquals(0x701, other.common(0x38, 2));
      other.setCommon(0x16, 2, 7);
      assertEquals(0, other.common(0x38, 2));
      other.add(1);
      other.set(FunctionRig.NOTIFY, 4, 4, 0x0001_0701);
      other.owner.runUntilIdle();
      assertEquals(1, other.used(1));
      assertEquals(1, other.function.host().notificationData(1));
      assertEquals(0, other.ignored());
      other.set(FunctionRig.NOTIFY, 4, 4, 1);
      assertEquals(1, other.function.counters().ignoredNotifications());
    }
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "The device MUST present a changed config_generation after the driver has read a"
              + " device-specific configuration value which has changed since any part of the"
              + " device-specific configuration was last read.")
  void theGenerationTellsOfAnyNumberOfChanges() {
    long before = rig.common(0x15, 1);
    for (int i = 0; i < 256; i++) {
      rig.device.config.change(() -> {});
    }
    assertNotEquals(before, rig.common(0x15, 1));
    assertEquals(rig.common(0x15, 1), rig.common(0x15, 1));
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "For 64-bit device configuration fields, the device MUST allow driver independent access"
              + " to high and low 32-bit parts of the field.")
  void theConfigurationIsAccessedByFields() {
    int device = FunctionRig.DEVICE;
    assertEquals(0x55667788L, rig.get(device, 0, 4));
    assertEquals(0x11223344L, rig.get(device, 4, 4));
    assertEquals(0x1122334455667788L, rig.get(device, 0, 8));
    assertEquals(0xddee, rig.get(device, 12, 2));
    rig.set(device, 4, 4, 0x01020304);
    assertEquals(0x0102030455667788L, rig.device.config.get("big"));
    rig.set(device, 0, 4, 0);
    assertEquals(0x0102030400000000L, rig.device.config.get("big"));
    rig.set(device, 0, 8, -1);
    assertEquals(-1, rig.device.config.get("big"));
    rig.set(device, 12, 2, 0x1234);
    assertEquals(0x1234, rig.device.config.get("half"));
    rig.set(device, 16, 1, 0x56);
    assertEquals(0x56, rig.get(device, 16, 1));
    assertEquals(0, rig.ignored());
    rig.set(device, 8, 4, 1); // read-only
    rig.set(device, 12, 1, 1);
    rig.set(device, 12, 4, 1);
    rig.set(device, 2, 4, 1);
    rig.set(device, 14, 2, 1);
    rig.set(device, 20, 1, 1);
    assertEquals(6, rig.ignored());
    assertEquals(0x99aabbccL, rig.get(device, 8, 4));
    assertEquals(0x1234, rig.get(device, 12, 2));
    assertEquals(0, rig.get(device, 20, 4));
    assertEquals(0, rig.get(device, 1, 2));
    assertEquals(2, rig.ignored());
  }

  @Test
  void queuesThatCannotBeBreakTheDevice() {
    long[][] areas = {
      {FunctionRig.RAM + 8, FunctionRig.RAM + 0x1000, FunctionRig.RAM + 0x2000},
      {FunctionRig.RAM, FunctionRig.RAM + 0x1001, FunctionRig.RAM + 0x2000},
      {FunctionRig.RAM, FunctionRig.RAM + 0x1000, FunctionRig.RAM + 0x2002},
      {FunctionRig.RAM, FunctionRig.RAM + 0x1000, 0x4000},
      {-16, FunctionRig.RAM + 0x1000, FunctionRig.RAM + 0x2000},
      {0, 0, 0}
    };
    for (long[] area : areas) {
      rig.setCommon(0x14, 1, 0);
      rig.negotiate();
      rig.setCommon(0x20, 8, area[0]);
      rig.setCommon(0x28, 8, area[1]);
      rig.setCommon(0x30, 8, area[2]);
      rig.setCommon(0x1c, 2, 1);
      rig.setCommon(0x14, 1, 0xf);
      assertEquals(0xf | DeviceStatus.DEVICE_NEEDS_RESET, rig.common(0x14, 1));
      rig.kick(0);
    }
    assertEquals(areas.length, rig.function.host().faults());
    rig.setCommon(0x14, 1, 0);
    rig.start();
    rig.transfer(0);
    assertEquals(1, rig.used(0));
  }
}
