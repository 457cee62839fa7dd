// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.SharedMemory;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.TestDevice;
import io.jvirtio.transport.pci.FunctionRig.Structure;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The configuration space: ids, BARs, capabilities, what can be written. */
class FunctionConfigTest {
  private static final String DISCOVERY = "Virtio Over PCI Bus / PCI Device Discovery";
  private static final String OLD_DISCOVERY =
      DISCOVERY + " / Legacy Interfaces: A Note on PCI Device Discovery";
  private static final String CAPABILITIES =
      "Virtio Over PCI Bus / Virtio Structure PCI Capabilities";

  @ParameterizedTest
  @CsvSource({
    "1, 1000, 020000",
    "2, 1001, 010000",
    "5, 1002, 00ff00",
    "3, 1003, 078000",
    "8, 1004, 010000",
    "4, 1005, 00ff00",
    "9, 1009, 000200"
  })
  @Requirement(section = DISCOVERY, text = "Devices MUST have the PCI Vendor ID 0x1AF4.")
  @Requirement(
      section = DISCOVERY,
      text =
          "Devices MUST either have the PCI Device ID calculated by adding 0x1040 to the Virtio"
              + " Device ID, as indicated in section Device Types or have the Transitional PCI"
              + " Device ID depending on the device type")
  @Requirement(
      section = OLD_DISCOVERY,
      text = "Transitional devices MUST have a PCI Revision ID of 0.")
  @Requirement(
      section = OLD_DISCOVERY,
      text =
          "Transitional devices MUST have the PCI Subsystem Device ID matching the Virtio Device"
              + " ID, as indicated in section Device Types.")
  @Requirement(
      section = OLD_DISCOVERY,
      text =
          "Transitional devices MUST have the Transitional PCI Device ID in the range 0x1000 to"
              + " 0x103f.")
  void idsTellTheType(int type, String id, String classCode) {
    long transitional = Long.parseLong(id, 16);
    long code = Long.parseLong(classCode, 16);
    for (PciProfile profile : PciProfile.values()) {
      boolean modern = profile == PciProfile.MODERN;
      try (FunctionRig rig =
          new FunctionRig(FunctionRig.options(profile), new TestDevice(type, 1))) {
        assertEquals(0x1af4, rig.config(0, 2));
        assertEquals(modern ? 0x1040 + type : transitional, rig.config(2, 2));
        assertEquals(modern ? 1 : 0, rig.config(8, 1));
        assertEquals(code, rig.config(8, 4) >>> 8);
        assertEquals(0, rig.config(0xe, 1));
        assertEquals(0x1af4, rig.config(0x2c, 2));
        assertEquals(modern ? 0x1040 + type : type, rig.config(0x2e, 2));
        assertEquals(1, rig.config(0x3d, 1));
      }
    }
  }

  @Test
  void notEveryTypeIsThereInEveryProfile() {
    PciOptions modern = PciOptions.defaults();
    PciOptions old = FunctionRig.options(PciProfile.TRANSITIONAL);
    for (TestDevice device :
        List.of(new TestDevice(16, 1), new TestDevice(26, 1), new TestDevice(64, 1))) {
      assertThrows(IllegalArgumentException.class, () -> new FunctionRig(old, device));
    }
    assertThrows(
        IllegalArgumentException.class, () -> new FunctionRig(modern, new TestDevice(64, 1)));
    new FunctionRig(modern, new TestDevice(63, 1)).close();
    // One that is nobody's may be anything.
    try (FunctionRig rig = new FunctionRig(old, new TestDevice(42, 1))) {
      assertEquals(0x103f, rig.config(2, 2));
      assertEquals(42, rig.config(0x2e, 2));
    }
  }

  @Test
  void optionsAreChecked() {
    PciOptions plain = PciOptions.defaults();
    FeatureBits old = FeatureBits.of(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    FeatureBits data = plain.ringFeatures().with(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA);
    for (Runnable wrong :
        List.<Runnable>of(
            () -> plain.withRingFeatures(old),
            () -> plain.withBigEndianGuest(true),
            () -> plain.withMsixVectors(2049),
            () -> plain.withMsixVectors(-2),
            () -> plain.withNotifyMultiplier(3),
            () -> plain.withNotifyMultiplier(1),
            () -> plain.withNotifyMultiplier(1 << 17),
            () -> plain.withRingFeatures(data).withNotifyMultiplier(2),
            () -> plain.withSubsystem(0x1_0000, 0),
            () -> plain.withSubsystem(0, 7).withProfile(PciProfile.TRANSITIONAL))) {
      assertThrows(IllegalArgumentException.class, wrong::run);
    }
    try (FunctionRig rig = new FunctionRig(plain.withSubsystem(0x1234, 0x5678))) {
      assertEquals(0x5678_1234L, rig.config(0x2c, 4));
    }
  }

  @ParameterizedTest
  @EnumSource(PciProfile.class)
  @Requirement(
      section = "Virtio Over PCI Bus",
      text =
          "A Virtio device using Virtio Over PCI Bus MUST expose to guest an interface that meets"
              + " the specification requirements of the appropriate PCI specification: [PCI] and"
              + " [PCIe] respectively.")
  @Requirement(
      section =
          "Virtio Over PCI Bus / PCI-specific Initialization And Device Operation / Device"
              + " Initialization / Virtio Device Configuration Layout Detection / Legacy Interface:"
              + " A Note on Device Layout Detection",
      text = "Transitional devices MUST expose the Legacy Interface in I/O space in BAR0.")
  void barsSayTheirSize(PciProfile profile) {
    try (FunctionRig rig = new FunctionRig(FunctionRig.options(profile))) {
      List<PciBar> bars = rig.function.bars();
      assertEquals(6, bars.size());
      assertEquals(profile == PciProfile.MODERN, bars.get(0) == null);
      assertNotNull(bars.get(1));
      assertEquals(profile == PciProfile.LEGACY, bars.get(4) == null);
      assertNull(bars.get(5));
      for (int i = 0; i < 6; i++) {
        PciBar bar = bars.get(i);
        if (bar == null) {
          continue;
        }
        int at = 0x10 + 4 * i;
        long flags = bar.io() ? 1 : bar.wide() ? 4 : 0;
        assertEquals(flags, rig.config(at, 4));
        rig.setConfig(at, 4, 0xffff_ffffL);
        long mask = bar.io() ? 3 : 15;
        assertEquals(bar.window().size(), -(int) (rig.config(at, 4) & ~mask));
        assertEquals(flags, rig.config(at, 4) & mask);
        if (bar.wide()) {
          rig.setConfig(at + 4, 4, 0x12);
          assertEquals(0x12, rig.config(at + 4, 4));
        }
        rig.setConfig(at, 4, 0x1234_0000 | mask);
        assertEquals(0x1234_0000 | flags, rig.config(at, 4));
      }
      for (int i : new int[] {2, 3}) {
        rig.setConfig(0x10 + 4 * i, 4, 0xffff_ffffL);
        assertEquals(0, rig.config(0x10 + 4 * i, 4));
      }
      assertEquals(0, rig.ignored());
    }
  }

  @Test
  @Requirement(
      section = CAPABILITIES,
      text =
          "The device MUST include any extra data (from the beginning of the cap_vndr field through"
              + " end of the extra data fields if any) in cap_len.")
  @Requirement(
      section = "Virtio Over PCI Bus / Common configuration structure layout",
      text = "offset MUST be 4-byte aligned.")
  @Requirement(
      section = "Virtio Over PCI Bus / Common configuration structure layout",
      text = "The device MUST present at least one common configuration capability.")
  @Requirement(
      section = "Virtio Over PCI Bus / Notification capability",
      text = "The device MUST present at least one notification capability.")
  @Requirement(
      section = "Virtio Over PCI Bus / ISR status capability",
      text = "The device MUST present at least one VIRTIO_PCI_CAP_ISR_CFG capability.")
  @Requirement(
      section = "Virtio Over PCI Bus / Device-specific configuration",
      text =
          "The device MUST present at least one VIRTIO_PCI_CAP_DEVICE_CFG capability for any device"
              + " type which has a device-specific configuration.")
  @Requirement(
      section = "Virtio Over PCI Bus / Device-specific configuration",
      text = "The offset for the device-specific configuration MUST be 4-byte aligned.")
  @Requirement(
      section = "Virtio Over PCI Bus / PCI configuration access capability",
      text = "The device MUST present at least one VIRTIO_PCI_CAP_PCI_CFG capability.")
  @Requirement(
      section = "Virtio Over PCI Bus / Shared memory capability",
      text =
          "The region defined by the combination of the cap.offset, offset_hi, and cap.length,"
              + " length_hi fields MUST be contained within the BAR specified by cap.bar.")
  @Requirement(
      section = "Virtio Over PCI Bus / Shared memory capability",
      text = "The cap.id MUST be unique for any one device instance.")
  void capabilitiesSayWhereEverythingIs() {
    TestDevice device = new TestDevice(2, 2);
    device.shared =
        List.of(
            new SharedMemory(7, Arena.ofAuto().allocate(5000)),
            new SharedMemory(1, Arena.ofAuto().allocate(100)));
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults(), device)) {
      assertEquals(0x10, rig.config(6, 2) & 0x10);
      int[] lengths = {0, 16, 20, 16, 16, 20, 0, 0, 24};
      for (int type : new int[] {1, 2, 3, 4, 5, 8}) {
        for (Structure s : rig.structures(type)) {
          assertEquals(lengths[type], rig.config(s.at() + 2, 1));
          assertEquals(0, s.at() % 4);
          assertEquals(0, s.offset() % 4);
          if (type != FunctionRig.PCI) {
            long size = rig.function.bars().get(s.bar()).window().size();
            assertTrue(s.length() > 0 && s.offset() + s.length() <= size);
          }
        }
        assertEquals(type == 8 ? 2 : 1, rig.structures(type).size());
      }
      List<Integer> ids = new ArrayList<>();
      rig.structures(8).forEach(s -> ids.add(s.id()));
      assertEquals(List.of(7, 1), ids);
      assertEquals(5000, rig.structures(8).getFirst().length());
      assertEquals(0, rig.config(rig.structures(8).getFirst().at() + 16, 4));
      assertEquals(0, rig.config(rig.structures(8).getFirst().at() + 20, 4));
      assertTrue(rig.function.bars().get(2).prefetchable());
      assertEquals(0x40, rig.structure(1).length());
      assertEquals(20, rig.structure(4).length());
    }
  }

  @Test
  @Requirement(
      section = "Virtio Over PCI Bus / Notification capability",
      text =
          "[without VIRTIO_F_NOTIFICATION_DATA] The cap.offset MUST be 2-byte aligned. The device"
              + " MUST either present notify_off_multiplier as an even power of 2, or present"
              + " notify_off_multiplier as 0.")
  @Requirement(
      section = "Virtio Over PCI Bus / Notification capability",
      text =
          "The value cap.length presented by the device MUST be at least 2 and MUST be large enough"
              + " to support queue notification offsets for all supported queues in all possible"
              + " configurations.")
  @Requirement(
      section = "Virtio Over PCI Bus / Notification capability",
      text =
          "[with VIRTIO_F_NOTIFICATION_DATA] The device MUST either present notify_off_multiplier"
              + " as a number that is a power of 2 that is also a multiple 4, or present"
              + " notify_off_multiplier as 0. The cap.offset MUST be 4-byte aligned.")
  @Requirement(
      section = "Virtio Over PCI Bus / Notification capability",
      text =
          "The value cap.length presented by the device MUST be at least 4 and MUST be large enough"
              + " to support queue notification offsets for all supported queues in all possible"
              + " configurations.")
  @Requirement(
      section = "Virtio Over PCI Bus / Notification capability",
      text =
          "[without VIRTIO_F_NOTIFICATION_DATA] For all queues, the value cap.length presented by"
              + " the device MUST satisfy: cap.length >= queue_notify_off * notify_off_multiplier +"
              + " 2")
  @Requirement(
      section = "Virtio Over PCI Bus / Notification capability",
      text =
          "[with VIRTIO_F_NOTIFICATION_DATA] For all queues, the value cap.length presented by the"
              + " device MUST satisfy: cap.length >= queue_notify_off * notify_off_multiplier + 4")
  void everyQueueHasAPlaceForNotifications() {
    for (int multiplier : new int[] {0, 2, 4, 4096}) {
      PciOptions options = PciOptions.defaults().withNotifyMultiplier(multiplier);
      try (FunctionRig rig = new FunctionRig(options, new TestDevice(2, 9))) {
        Structure s = rig.structure(FunctionRig.NOTIFY);
        assertEquals(multiplier, rig.config(s.at() + 16, 4));
        assertEquals(0, s.offset() % 4);
        for (int queue = 0; queue < 9; queue++) {
          rig.setCommon(0x16, 2, queue);
          long off = rig.common(0x1e, 2);
          assertTrue(off * multiplier + 4 <= s.length());
          rig.set(FunctionRig.NOTIFY, off * multiplier, 2, queue);
        }
        assertEquals(0, rig.ignored());
      }
    }
  }

  @Test
  void structuresCanBeTooLargeForTheList() {
    TestDevice device = new TestDevice(2, 1);
    List<SharedMemory> many = new ArrayList<>();
    for (int i = 0; i < 9; i++) {
      many.add(new SharedMemory(i, Arena.ofAuto().allocate(1)));
    }
    device.shared = many;
    assertThrows(
        IllegalArgumentException.class, () -> new FunctionRig(PciOptions.defaults(), device));
    device.shared = List.of(many.get(1), many.get(1));
    assertThrows(
        IllegalArgumentException.class, () -> new FunctionRig(PciOptions.defaults(), device));
    assertThrows(
        IllegalArgumentException.class, () -> new SharedMemory(256, Arena.ofAuto().allocate(1)));
    assertThrows(
        IllegalArgumentException.class, () -> new SharedMemory(0, Arena.ofAuto().allocate(0)));
  }

  @Test
  void mostIsReadOnly() {
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults())) {
      long before = rig.config(0x40, 4);
      for (int at : new int[] {0, 8, 0x2c, 0x30, 0x34, 0x40, 0xfc}) {
        long was = rig.config(at, 4);
        rig.setConfig(at, 4, 0xffff_ffffL);
        assertEquals(was, rig.config(at, 4));
      }
      assertEquals(before, rig.config(0x40, 4));
      assertEquals(6, rig.ignored());
      rig.setConfig(4, 2, 0xffff);
      assertEquals(0x406, rig.config(4, 2));
      rig.setConfig(0x3c, 4, 0xffff_ffffL);
      assertEquals(0x1ff, rig.config(0x3c, 4));
      rig.setConfig(0xc, 4, 0xffff_ffffL);
      assertEquals(0xff, rig.config(0xc, 4));
    }
  }

  @Test
  void aBarOfIoCanBeEnabledOnlyWhereThereIsOne() {
    try (FunctionRig rig = new FunctionRig(FunctionRig.options(PciProfile.TRANSITIONAL))) {
      rig.setConfig(4, 2, 0xffff);
      assertEquals(0x407, rig.config(4, 2));
    }
  }

  @Test
  void accessesThatPciDoesNotKnowAreIgnored() {
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults())) {
      assertEquals(0, rig.config(1, 2));
      assertEquals(0, rig.config(0, 8));
      assertEquals(0, rig.config(0x100, 4));
      assertEquals(0, rig.config(-4, 4));
      rig.setConfig(5, 2, 0xffff);
      rig.setConfig(0x100, 1, 1);
      rig.setConfig(-1, 1, 1);
      assertEquals(7, rig.ignored());
      assertEquals(0, rig.config(4, 2));
    }
  }

  @Test
  void aResetForgetsWhatWasWritten() {
    try (FunctionRig rig = new FunctionRig(FunctionRig.options(PciProfile.TRANSITIONAL))) {
      rig.setConfig(0x10, 4, 0xc000);
      rig.setConfig(0x3c, 1, 11);
      rig.start();
      rig.transfer(0);
      assertEquals(1, rig.used(0));
      assertTrue(rig.pin);
      rig.function.reset();
      assertEquals(0, rig.config(4, 2));
      assertEquals(1, rig.config(0x10, 4));
      assertEquals(0, rig.config(0x3c, 1));
      assertEquals(0, rig.common(0x14, 1));
      assertEquals(false, rig.pin);
      rig.clear(0);
      rig.start();
      rig.transfer(0);
      assertEquals(1, rig.used(0));
    }
  }
}
