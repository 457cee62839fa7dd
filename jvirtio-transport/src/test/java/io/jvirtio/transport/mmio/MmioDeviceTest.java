// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.SharedMemory;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.TestDevice;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Version 2, by a driver that writes registers by hand. */
class MmioDeviceTest {
  private static final String LAYOUT = "Virtio Over MMIO / MMIO Device Register Layout";
  private static final int LIVE = 0xf;

  private final MmioRig rig = new MmioRig(MmioOptions.defaults());

  @AfterEach
  void close() {
    rig.close();
  }

  private static MmioOptions with(int... ringFeatures) {
    MmioOptions usual = MmioOptions.defaults();
    return usual.withRingFeatures(usual.ringFeatures().or(FeatureBits.of(ringFeatures)));
  }

  @Test
  @Requirement(section = LAYOUT, text = "The device MUST return 0x74726976 in MagicValue.")
  @Requirement(section = LAYOUT, text = "The device MUST return value 0x2 in Version.")
  void saysWhatItIs() {
    assertEquals(0x74726976, rig.get(0));
    assertEquals(2, rig.get(4));
    assertEquals(MmioRig.TYPE, rig.get(8));
    assertEquals(0x1af4, rig.get(0xc));
    assertEquals(0x200, rig.mmio.size());
    try (MmioRig other = new MmioRig(MmioOptions.defaults().withVendorId(-2))) {
      assertEquals(0xffff_fffeL, other.get(0xc));
    }
  }

  @Test
  void registersAreAccessedBy32BitsAligned() {
    Set<Integer> readable =
        Set.of(0, 4, 8, 0xc, 0x10, 0x34, 0x44, 0x60, 0x70, 0xb0, 0xb4, 0xb8, 0xbc, 0xc0, 0xfc);
    Set<Integer> writable =
        Set.of(
            0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70, 0x80, 0x84, 0x90, 0x94, 0xa0,
            0xa4, 0xac, 0xc0);
    rig.set(0x30, 1);
    for (int at = -1; at < 0x100; at++) {
      for (int width : new int[] {1, 2, 4, 8}) {
        rig.ignored();
        long value = rig.mmio.read(at, width);
        boolean fits = width == 4 && readable.contains(at);
        assertEquals(fits ? 0 : 1, rig.ignored(), at + " by " + width);
        if (!fits) {
          assertEquals(0, value);
        }
        if (width != 4 || !writable.contains(at)) {
          rig.mmio.write(at, width, -1);
          assertEquals(1, rig.ignored(), at + " by " + width);
        }
      }
    }
    assertEquals(0, rig.get(0x70));
    for (long at : new long[] {0x200, 0x1_0000_0000L, Long.MAX_VALUE, Long.MIN_VALUE}) {
      rig.mmio.write(at, 4, 1);
      assertEquals(0, rig.mmio.read(at, 4));
      assertEquals(2, rig.ignored());
    }
  }

  @Test
  void featuresAreShownByTheWord() {
    assertEquals(rig.mmio.host().deviceFeatures(), rig.offered());
    assertTrue(rig.offered().has(TestDevice.FEATURE));
    for (long select : new long[] {4, 0x7fff_ffff, 0xffff_ffffL}) {
      rig.set(0x14, select);
      rig.set(0x24, select);
      assertEquals(0, rig.get(0x10));
      rig.set(0x20, 0);
    }
    assertEquals(0, rig.ignored());
    rig.set(0x20, 1);
    assertEquals(1, rig.ignored());
    rig.start();
    FeatureBits accepted = rig.mmio.host().driverFeatures();
    assertTrue(accepted.has(ReservedFeatures.VIRTIO_F_VERSION_1));
    rig.accept(FeatureBits.NONE);
    assertEquals(4, rig.ignored());
    assertEquals(accepted, rig.mmio.host().driverFeatures());
  }

  @Test
  void whatHasNoRegisterIsNotOffered() {
    try (MmioRig other =
        new MmioRig(
            with(
                ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
                ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA))) {
      assertFalse(other.offered().has(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA));
      assertTrue(other.offered().has(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA));
      assertFalse(other.offered().has(ReservedFeatures.VIRTIO_F_ADMIN_VQ));
    }
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text = "The device MUST NOT access virtqueue contents when QueueReady is zero (0x0).")
  void queuesAreSetUpAndStopped() {
    rig.set(0x30, 1);
    assertEquals(TestDevice.MAX_SIZE, rig.get(0x34));
    for (int size : new int[] {0, 7, 32, -1}) {
      rig.set(0x38, size);
    }
    assertEquals(4, rig.ignored());
    rig.negotiate();
    rig.configure(1);
    assertEquals(0, rig.get(0x44));
    rig.set(0x70, LIVE);
    rig.transfer(1);
    assertEquals(0, rig.used(1));
    rig.set(0x44, 1);
    assertEquals(1, rig.get(0x44));
    rig.owner.runUntilIdle();
    rig.transfer(1);
    assertEquals(2, rig.used(1));
    assertEquals(0, rig.ignored());
    // All of it is fixed now.
    rig.set(0x44, 1);
    rig.set(0x44, 2);
    rig.set(0x38, 4);
    rig.address(0x80, 0);
    rig.address(0x90, 0);
    rig.address(0xa0, 0);
    assertEquals(9, rig.ignored());
    rig.transfer(1);
    assertEquals(3, rig.used(1));
    rig.set(0x44, 0);
    assertEquals(0, rig.get(0x44));
    rig.transfer(1);
    assertEquals(3, rig.used(1));
    rig.set(0x44, 0); // says nothing new
    assertEquals(0, rig.ignored());
    rig.clear(1);
    rig.enable(1);
    rig.transfer(1);
    assertEquals(1, rig.used(1));
  }

  @Test
  void aQueueThatIsNotThere() {
    for (long queue : new long[] {2, 0x7fff_ffff, 0xffff_ffffL}) {
      rig.set(0x30, queue);
      assertEquals(0, rig.get(0x34));
      assertEquals(0, rig.get(0x44));
      assertEquals(0, rig.get(0xc0));
      assertEquals(0, rig.ignored());
      rig.set(0x38, 4);
      rig.set(0x44, 1);
      rig.set(0x44, 0);
      rig.set(0x80, 4096);
      rig.set(0xc0, 1);
      assertEquals(5, rig.ignored());
    }
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "Upon reset, the device MUST clear all bits in InterruptStatus and ready bits in the"
              + " QueueReady register for all queues in the device.")
  void zeroResets() {
    rig.start();
    rig.transfer(1);
    rig.device.config.change(() -> {});
    assertEquals(3, rig.get(0x60));
    assertEquals(LIVE, rig.get(0x70));
    rig.set(0x70, 0x100); // not a reset
    assertEquals(1, rig.ignored());
    assertEquals(LIVE, rig.get(0x70));
    assertEquals(0, rig.device.resets);
    rig.set(0x70, 0);
    assertEquals(1, rig.device.resets);
    assertEquals(0, rig.get(0x70));
    assertEquals(0, rig.get(0x60));
    assertFalse(rig.line());
    for (int queue = 0; queue < 2; queue++) {
      rig.set(0x30, queue);
      assertEquals(0, rig.get(0x44));
    }
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    rig.clear(0);
    rig.clear(1);
    rig.start();
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    rig.mmio.reset();
    assertEquals(0, rig.get(0x70));
    assertEquals(0, rig.get(0x60));
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "If VIRTIO_F_RING_RESET has been negotiated, the device MUST present a 0 in QueueReset on"
              + " reset.")
  @Requirement(
      section = LAYOUT,
      text =
          "If VIRTIO_F_RING_RESET has been negotiated, The device MUST present a 0 in QueueReset"
              + " after the virtqueue is enabled with QueueReady.")
  void aQueueIsReset() {
    rig.set(0xc0, 1); // not negotiated
    assertEquals(1, rig.ignored());
    rig.start();
    rig.transfer(0);
    rig.transfer(1);
    rig.set(0x30, 1);
    assertEquals(0, rig.get(0xc0));
    rig.set(0xc0, 1);
    assertEquals(0, rig.get(0xc0));
    assertEquals(0, rig.get(0x44));
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    rig.transfer(0);
    assertEquals(2, rig.used(0));
    rig.clear(1);
    rig.enable(1);
    assertEquals(0, rig.get(0xc0));
    assertEquals(1, rig.get(0x44));
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    assertEquals(0, rig.ignored());
    rig.set(0xc0, 2);
    assertEquals(1, rig.ignored());
    rig.set(0x70, 0);
    rig.set(0x30, 1);
    assertEquals(0, rig.get(0xc0));
  }

  private static void await(BooleanSupplier condition) throws InterruptedException {
    long end = System.nanoTime() + 20_000_000_000L;
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, "waited in vain");
      Thread.sleep(1);
    }
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "The device MUST reset the queue when 1 is written to QueueReset. The device MUST"
              + " continue to present 1 in QueueReset as long as the queue reset is ongoing. The"
              + " device MUST present 0 in both QueueReset and QueueReady when queue reset has"
              + " completed.")
  void resetsThatTakeLongGoOnElsewhere() throws InterruptedException {
    try (ExecutorService resets = Executors.newSingleThreadExecutor();
        MmioRig other = new MmioRig(MmioOptions.defaults().withResets(resets))) {
      other.start();
      other.device.holding = true;
      other.transfer(0);
      other.set(0x30, 0);
      other.set(0xc0, 1);
      assertEquals(1, other.get(0xc0));
      assertEquals(1, other.get(0x44)); // it may still be accessed
      other.device.holding = false;
      await(() -> other.get(0xc0) == 0);
      assertEquals(0, other.get(0x44));
      assertEquals(1, other.used(0));
      other.clear(0);
      other.enable(0);
      other.device.holding = true;
      other.transfer(0);
      other.set(0x70, 0);
      assertEquals(LIVE, other.get(0x70));
      other.device.holding = false;
      await(() -> other.get(0x70) == 0);
      assertEquals(0, other.get(0x44));
      assertEquals(0, other.get(0x60));
    }
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "The device MUST present each event by setting the corresponding bit in InterruptStatus"
              + " from the moment it takes place, until the driver acknowledges the interrupt by"
              + " writing a corresponding bit mask to the InterruptACK register. Bits which do not"
              + " represent events which took place MUST be zero.")
  void eventsAreShownUntilTheyAreAcknowledged() {
    rig.start();
    assertEquals(0, rig.get(0x60));
    assertEquals(List.of(), rig.levels);
    rig.transfer(0);
    assertEquals(1, rig.get(0x60));
    assertEquals(1, rig.get(0x60));
    rig.transfer(1);
    assertEquals(List.of(true), rig.levels);
    rig.set(0x64, 2); // did not take place
    assertEquals(1, rig.get(0x60));
    assertTrue(rig.line());
    rig.device.config.change(() -> {});
    assertEquals(3, rig.get(0x60));
    rig.set(0x64, 1);
    assertEquals(2, rig.get(0x60));
    assertTrue(rig.line());
    assertEquals(0, rig.ignored());
    rig.set(0x64, 0xffff_fffeL);
    assertEquals(1, rig.ignored());
    assertEquals(0, rig.get(0x60));
    assertFalse(rig.line());
    rig.transfer(0);
    assertTrue(rig.line());
  }

  @Test
  void whatIsThereAfterAnAcknowledgementIsAnEdge() {
    rig.start();
    rig.transfer(0);
    rig.device.config.change(() -> {});
    rig.set(0x64, 1);
    assertEquals(List.of(true, false, true), rig.levels);
    rig.set(0x64, 2);
    assertEquals(List.of(true, false, true, false), rig.levels);
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "The device MUST change value returned in ConfigGeneration if there is any risk of a"
              + " driver seeing an inconsistent configuration state.")
  void theGenerationTellsOfChanges() {
    long before = rig.get(0xfc);
    assertEquals(before, rig.get(0xfc));
    rig.device.config.change(() -> rig.device.config.set("big", 5));
    assertNotEquals(before, rig.get(0xfc));
  }

  @Test
  void theConfigurationIsAccessedByFields() {
    assertEquals(0x55667788L, rig.config(0, 4));
    assertEquals(0x11223344L, rig.config(4, 4));
    assertEquals(0xddee, rig.config(12, 2));
    assertEquals(0x77, rig.config(1, 1));
    rig.setConfig(4, 4, 0x01020304);
    assertEquals(0x0102030455667788L, rig.device.config.get("big"));
    rig.setConfig(12, 2, 0x1234);
    assertEquals(0x1234, rig.device.config.get("half"));
    rig.setConfig(16, 1, 0x56);
    assertEquals(0x56, rig.config(16, 1));
    assertEquals(0, rig.ignored());
    rig.setConfig(8, 4, 1); // read-only
    rig.setConfig(12, 1, 1);
    rig.setConfig(12, 4, 1);
    rig.setConfig(2, 4, 1);
    rig.setConfig(0, 8, 1);
    rig.setConfig(20, 1, 1);
    assertEquals(6, rig.ignored());
    assertEquals(0, rig.config(20, 4));
    assertEquals(0, rig.config(1, 2));
    assertEquals(0, rig.config(2, 4));
    assertEquals(0, rig.config(0, 8));
    assertEquals(0, rig.config(0xfc, 4));
    assertEquals(5, rig.ignored());
    assertEquals(0x0102030455667788L, rig.device.config.get("big"));
  }

  @Test
  void notificationsMayCarryData() throws PeerFault {
    try (MmioRig other = new MmioRig(with(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA))) {
      other.start();
      other.add(1);
      other.set(0x50, 0x0001_0001);
      other.owner.runUntilIdle();
      assertEquals(1, other.used(1));
      assertEquals(1, other.mmio.host().notificationData(1));
      other.set(0x50, 2);
      assertEquals(1, other.mmio.counters().ignoredNotifications());
    }
    rig.start();
    for (long value : new long[] {2, 0xffff, 0x1_0000, 0xffff_ffffL}) {
      rig.set(0x50, value);
    }
    assertEquals(4, rig.mmio.counters().ignoredNotifications());
    rig.transfer(1);
    assertEquals(1, rig.used(1));
  }

  @Test
  void sharedMemoryIsWhereTheMachineHasIt() {
    TestDevice device = new TestDevice(MmioRig.TYPE, 1);
    device.shared =
        List.of(
            new SharedMemory(3, Arena.ofAuto().allocate(0x3000)),
            new SharedMemory(4, Arena.ofAuto().allocate(0x1000)));
    MmioOptions options = MmioOptions.defaults().withSharedMemory(3, 0x12_3456_7000L);
    try (MmioRig other = new MmioRig(options, device)) {
      assertEquals(0xffff_ffffL, other.get(0xb0));
      other.set(0xac, 3);
      assertEquals(0x3000, other.get(0xb0));
      assertEquals(0, other.get(0xb4));
      assertEquals(0x3456_7000, other.get(0xb8));
      assertEquals(0x12, other.get(0xbc));
      for (long none : new long[] {4, 5, 256, 0xffff_ffffL}) {
        other.set(0xac, none);
        for (int register = 0xb0; register <= 0xbc; register += 4) {
          assertEquals(0xffff_ffffL, other.get(register));
        }
      }
      assertEquals(0, other.ignored());
    }
    MmioOptions wrong = options.withSharedMemory(7, 0);
    assertThrows(IllegalArgumentException.class, () -> new MmioRig(wrong, device));
  }

  @Test
  void queuesThatCannotBeBreakTheDevice() {
    long ram = MmioRig.RAM;
    long[][] areas = {
      {ram + 8, ram + 0x1000, ram + 0x2000},
      {ram, ram + 0x1001, ram + 0x2000},
      {ram, ram + 0x1000, ram + 0x2002},
      {ram, ram + 0x1000, 0x4000},
      {-16, ram + 0x1000, ram + 0x2000},
      {0, 0, 0}
    };
    for (long[] area : areas) {
      rig.set(0x70, 0);
      rig.negotiate();
      rig.set(0x30, 0);
      rig.address(0x80, area[0]);
      rig.address(0x90, area[1]);
      rig.address(0xa0, area[2]);
      rig.set(0x44, 1);
      rig.set(0x70, LIVE);
      assertEquals(LIVE | DeviceStatus.DEVICE_NEEDS_RESET, rig.get(0x70));
      assertEquals(2, rig.get(0x60));
      rig.set(0x50, 0);
      rig.owner.runUntilIdle();
    }
    assertEquals(areas.length, rig.mmio.host().faults());
    rig.set(0x70, 0);
    rig.start();
    rig.transfer(0);
    assertEquals(1, rig.used(0));
  }

  @Test
  void memoryMayComeAndGo() {
    rig.start();
    rig.mmio.growMemory(rig.memory());
    rig.transfer(0);
    assertEquals(1, rig.used(0));
    rig.mmio.setMemory(GuestMemory.EMPTY);
    rig.transfer(0);
    assertEquals(1, rig.used(0));
    rig.mmio.setMemory(rig.memory());
    rig.owner.runUntilIdle();
    assertEquals(2, rig.used(0));
    assertEquals(LIVE, rig.get(0x70));
  }

  @Test
  void optionsThatMakeNoSense() {
    MmioOptions usual = MmioOptions.defaults();
    assertThrows(IllegalArgumentException.class, () -> usual.withRingFeatures(FeatureBits.NONE));
    assertThrows(IllegalArgumentException.class, () -> usual.withBigEndianGuest(true));
    assertThrows(
        IllegalArgumentException.class, () -> MmioOptions.legacy().withSharedMemory(1, 4096));
    assertThrows(
        IllegalArgumentException.class,
        () -> new MmioOptions(3, 0, usual.ringFeatures(), false, usual.sharedMemory(), null));
  }
}
