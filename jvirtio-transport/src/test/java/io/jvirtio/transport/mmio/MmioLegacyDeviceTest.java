// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.TestDevice;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Version 1, by a driver that writes registers by hand. */
class MmioLegacyDeviceTest {
  private static final int ANY_LAYOUT = 1 << ReservedFeatures.VIRTIO_F_ANY_LAYOUT;
  private static final int LIVE = 7;

  private static final String LEGACY = "Virtio Over MMIO / Legacy interface";

  private final MmioRig rig = new MmioRig(MmioOptions.legacy());

  @AfterEach
  void close() {
    rig.close();
  }

  @Test
  @Requirement(section = LEGACY, text = "Legacy device returns value 0x1.")
  @Requirement(
      section = LEGACY,
      text =
          "Writing zero (0x0) to this register triggers a device reset. The device sets QueuePFN to"
              + " zero (0x0) for all queues in the device.")
  void buffersComeBack() {
    assertEquals(0x74726976, rig.get(0));
    assertEquals(1, rig.get(4));
    rig.set(0x28, MmioRig.PAGE); // as Linux does, before the reset
    for (int round = 0; round < 2; round++) {
      rig.set(0x70, 0);
      rig.negotiate();
      for (int queue = 0; queue < 2; queue++) {
        rig.set(0x30, queue);
        assertEquals(0, rig.get(0x40));
        assertEquals(TestDevice.MAX_SIZE, rig.get(0x34));
        rig.set(0x38, TestDevice.MAX_SIZE);
        rig.set(0x3c, MmioRig.PAGE);
        rig.set(0x40, rig.descriptors(queue) / MmioRig.PAGE);
        assertEquals(rig.descriptors(queue) / MmioRig.PAGE, rig.get(0x40));
      }
      rig.set(0x70, LIVE);
      rig.transfer(1);
      assertEquals(1, rig.used(1));
      assertEquals(1, rig.get(0x60));
      assertTrue(rig.line());
      rig.set(0x64, 1);
      assertFalse(rig.line());
      assertEquals(LIVE, rig.get(0x70));
      rig.set(0x70, 0);
      assertEquals(0, rig.get(0x70));
      for (int queue = 0; queue < 2; queue++) {
        rig.set(0x30, queue);
        assertEquals(0, rig.get(0x40));
        rig.set(0x40, 0); // as Linux does, after the reset
      }
      rig.clear(1);
    }
    assertEquals(0, rig.ignored());
  }

  @Test
  void registersAreAccessedBy32BitsAligned() {
    Set<Integer> readable = Set.of(0, 4, 8, 0xc, 0x10, 0x34, 0x40, 0x60, 0x70);
    Set<Integer> writable =
        Set.of(0x14, 0x20, 0x24, 0x28, 0x30, 0x38, 0x3c, 0x40, 0x50, 0x64, 0x70);
    for (int at = -1; at < 0x100; at++) {
      for (int width : new int[] {1, 2, 4, 8}) {
        rig.ignored();
        rig.mmio.read(at, width);
        boolean fits = width == 4 && readable.contains(at);
        assertEquals(fits ? 0 : 1, rig.ignored(), at + " by " + width);
        if (width != 4 || !writable.contains(at)) {
          rig.mmio.write(at, width, -1);
          assertEquals(1, rig.ignored(), at + " by " + width);
        }
      }
    }
  }

  @Test
  void thereIsOneWordOfFeatures() {
    FeatureBits offered = rig.offered();
    assertEquals(0, offered.low() >>> 32);
    assertEquals(0, offered.high());
    assertTrue((offered.low() & ANY_LAYOUT) != 0);
    assertTrue(offered.has(TestDevice.FEATURE));
    rig.set(0x70, 3);
    rig.accept(offered);
    assertEquals(0, rig.ignored());
    rig.set(0x24, 1);
    rig.set(0x20, 1);
    assertEquals(1, rig.ignored());
    assertFalse(rig.mmio.host().driverFeatures().has(ReservedFeatures.VIRTIO_F_VERSION_1));
    assertTrue(rig.mmio.host().driverFeatures().has(TestDevice.FEATURE));
  }

  @Test
  @Requirement(
      section = LEGACY,
      text =
          "Reading from this register returns the currently used page number of the queue,"
              + " therefore a value other than zero (0x0) means that the queue is in use.")
  void aQueueThatIsStoppedIsNotAccessed() {
    rig.start();
    rig.transfer(0);
    rig.set(0x30, 0);
    rig.set(0x40, 0x777); // it has a place
    rig.set(0x3c, 8192);
    rig.set(0x38, 8);
    assertEquals(3, rig.ignored());
    assertEquals(rig.descriptors(0) / MmioRig.PAGE, rig.get(0x40));
    rig.set(0x40, 0);
    assertEquals(0, rig.get(0x40));
    rig.transfer(0);
    assertEquals(1, rig.used(0));
    rig.transfer(1);
    assertEquals(1, rig.used(1));
    rig.clear(0);
    rig.enable(0);
    rig.transfer(0);
    assertEquals(1, rig.used(0));
  }

  @Test
  @Requirement(
      section = LEGACY,
      text =
          "The virtqueue layout follows Legacy Interfaces: A Note on Virtqueue Layout, with the"
              + " alignment defined in QueueAlign.")
  void pagesAndAlignmentsMakeTheLayout() {
    rig.negotiate();
    rig.set(0x30, 0);
    rig.set(0x40, 1); // of what size?
    for (int register : new int[] {0x28, 0x3c}) {
      for (long value : new long[] {0, 3, 4095, 0x8000_0000L, 0xffff_ffffL}) {
        rig.set(register, value);
      }
    }
    rig.set(0x38, 3);
    assertEquals(12, rig.ignored());
    assertEquals(0, rig.get(0x40));
    // The used ring lies 4096 bytes behind the start, with pages of 512 bytes too.
    rig.set(0x28, 512);
    rig.set(0x38, TestDevice.MAX_SIZE);
    rig.set(0x40, rig.descriptors(0) / 512);
    assertEquals(rig.descriptors(0) / 512, rig.get(0x40));
    rig.set(0x70, LIVE);
    rig.transfer(0);
    assertEquals(1, rig.used(0));
    assertEquals(0, rig.ignored());
  }

  @Test
  void anotherAlignmentIsAnotherPlace() {
    rig.negotiate();
    rig.configure(0);
    rig.set(0x3c, 8192);
    rig.set(0x40, rig.descriptors(0) / MmioRig.PAGE);
    rig.set(0x70, LIVE);
    rig.transfer(0);
    assertEquals(0, rig.used(0)); // which looks where it is by 4096
    assertEquals(1, rig.get(0x60));
    assertEquals(0, rig.mmio.host().faults());
  }

  @Test
  void aQueueThatIsNotInMemoryBreaksTheDevice() {
    for (long pfn : new long[] {1, 0x000f_ffffL, 0xffff_ffffL}) {
      for (long page : new long[] {4096, 0x4000_0000L}) {
        rig.set(0x70, 0);
        rig.negotiate();
        rig.configure(0);
        rig.set(0x28, page);
        rig.set(0x40, pfn);
        rig.set(0x70, LIVE);
        assertEquals(LIVE | DeviceStatus.DEVICE_NEEDS_RESET, rig.get(0x70));
      }
    }
    for (long queue : new long[] {2, 0xffff_ffffL}) {
      rig.set(0x30, queue);
      assertEquals(0, rig.get(0x34));
      assertEquals(0, rig.get(0x40));
      assertEquals(0, rig.ignored());
      rig.set(0x38, 4);
      rig.set(0x3c, 4096);
      rig.set(0x40, 1);
      rig.set(0x40, 0);
      assertEquals(4, rig.ignored());
    }
  }

  @Test
  void aDriverMayUseTheDeviceBeforeItSaysSo() {
    rig.negotiate();
    rig.enable(0);
    rig.transfer(0);
    assertEquals(1, rig.used(0));
    assertEquals(3, rig.get(0x70));
    rig.set(0x70, LIVE);
    assertEquals(LIVE, rig.get(0x70));
    rig.transfer(0);
    assertEquals(2, rig.used(0));
    rig.set(0x50, 9);
    assertEquals(1, rig.mmio.counters().ignoredNotifications());
  }

  @Test
  void theResetOfTheMachineForgetsThePageSize() {
    rig.start();
    rig.mmio.reset();
    assertEquals(0, rig.get(0x70));
    rig.negotiate();
    rig.set(0x30, 0);
    rig.set(0x40, rig.descriptors(0) / MmioRig.PAGE);
    assertEquals(1, rig.ignored());
    assertEquals(0, rig.get(0x40));
  }

  @Test
  void theConfigurationIsAccessedByAnyBytes() {
    assertEquals(0x33445566, rig.config(2, 4) & 0xffff_ffffL);
    rig.setConfig(3, 2, 0xabcd);
    assertEquals(0x112233abcd667788L, rig.device.config.get("big"));
    assertEquals(0, rig.ignored());
    rig.setConfig(0, 8, 0);
    rig.config(0, 8);
    assertEquals(2, rig.ignored());
    try (MmioRig big = new MmioRig(MmioOptions.legacy().withBigEndianGuest(true))) {
      assertEquals(0x11, big.config(0, 1));
      assertEquals(0xeedd, big.config(12, 2));
      big.setConfig(12, 2, 0x3412);
      assertEquals(0x1234, big.device.config.get("half"));
    }
  }

  @Test
  void anyOffsetAndAnyWidthIsAnswered() {
    long[] offsets = {
      Long.MIN_VALUE,
      -8,
      -1,
      0,
      1,
      0x70,
      0xfc,
      0xff,
      0x100,
      0x101,
      0x10c,
      0x114,
      0x1ff,
      0x200,
      0x7fff_ffffL,
      0xffff_ff00L,
      0x1_0000_0100L,
      Long.MAX_VALUE - 3,
      Long.MAX_VALUE
    };
    try (MmioRig modern = new MmioRig(MmioOptions.defaults())) {
      for (MmioDevice mmio : new MmioDevice[] {rig.mmio, modern.mmio}) {
        for (int width : new int[] {Integer.MIN_VALUE, -1, 0, 3, 5, 9, Integer.MAX_VALUE}) {
          for (long offset : offsets) {
            assertEquals(0, mmio.read(offset, width), width + " bytes at " + offset);
            mmio.write(offset, width, -1);
          }
        }
        for (int width : new int[] {1, 2, 4, 8}) {
          for (long offset : offsets) {
            mmio.read(offset, width);
            mmio.write(offset, width, Long.MIN_VALUE);
          }
        }
      }
    }
  }
}
