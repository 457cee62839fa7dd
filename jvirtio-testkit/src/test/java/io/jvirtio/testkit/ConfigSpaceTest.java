// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The device configuration space as a driver sees it. */
class ConfigSpaceTest {
  private static final long CAPACITY = 0xfedc_ba98_7654_3210L;

  private static ConfigSpace filled(PuppetDevice device) {
    return device
        .config()
        .set("capacity", CAPACITY)
        .set("blocks", 0x8765_4321L)
        .set("ports", 0xabcd)
        .set("mode", 0xef);
  }

  private static byte[] all() {
    return new byte[] {
      0x10,
      0x32,
      0x54,
      0x76,
      (byte) 0x98,
      (byte) 0xba,
      (byte) 0xdc,
      (byte) 0xfe,
      0x21,
      0x43,
      0x65,
      (byte) 0x87,
      (byte) 0xcd,
      (byte) 0xab,
      (byte) 0xef,
      0
    };
  }

  @Test
  @Requirement(
      section = "Device Configuration Space",
      text =
          "The device MUST allow reading of any device-specific configuration field before"
              + " FEATURES_OK is set by the driver.")
  void everyByteCanBeReadBeforeFeaturesOk() {
    PuppetDevice device = PuppetDevice.echoing();
    ConfigSpace config = filled(device);
    try (DeviceBench bench = DeviceBench.of(device).build()) {
      for (int status : new int[] {0, DeviceStatus.ACKNOWLEDGE, DeviceStatus.DRIVER}) {
        if (status != 0) {
          bench.host().writeStatus(status);
        }
        byte[] read = new byte[16];
        bench.host().config().read(0, read);
        assertArrayEquals(all(), read);
        for (int at = 0; at < 16; at++) {
          byte[] one = new byte[1];
          config.read(at, one);
          assertEquals(all()[at], one[0]);
        }
      }
    }
  }

  @Test
  void readsBehindTheEndAreZero() {
    ConfigSpace config = filled(PuppetDevice.echoing());
    for (int offset : new int[] {14, 15, 16, 1000, Integer.MAX_VALUE - 2, -1, Integer.MIN_VALUE}) {
      byte[] read = {1, 1, 1, 1};
      config.read(offset, read);
      for (int i = 0; i < 4; i++) {
        long at = (long) offset + i;
        assertEquals(at >= 0 && at < 16 ? all()[(int) at] : 0, read[i], offset + " + " + i);
      }
    }
  }

  @Test
  void fieldsAreUnsignedAndFit() {
    ConfigSpace config = filled(PuppetDevice.echoing());
    assertEquals(CAPACITY, config.get("capacity"));
    assertEquals(0x8765_4321L, config.get("blocks"));
    assertEquals(0xabcd, config.get("ports"));
    assertEquals(0xef, config.get("mode"));
    assertThrows(IllegalArgumentException.class, () -> config.set("mode", 256));
    assertThrows(IllegalArgumentException.class, () -> config.set("mode", -1));
    assertThrows(IllegalArgumentException.class, () -> config.set("ports", 0x1_0000));
    assertThrows(IllegalArgumentException.class, () -> config.set("blocks", 1L << 32));
    assertThrows(IllegalArgumentException.class, () -> config.set("nothing", 1));
    assertThrows(IllegalArgumentException.class, () -> config.get("nothing"));
    assertEquals(0xef, config.get("mode"));
  }

  @Test
  void aWriteMustHitOneWritableFieldWhole() throws PeerFault {
    List<Long> written = new ArrayList<>();
    ConfigSpace config = filled(PuppetDevice.echoing());
    config.writable("ports", written::add).writable("mode", written::add);
    config.write(12, new byte[] {1, (byte) 0x80});
    config.write(14, new byte[] {(byte) 0x90});
    assertEquals(List.of(0x8001L, 0x90L), written);
    assertEquals(0x8001, config.get("ports"));
    byte[] before = new byte[16];
    config.read(0, before);
    for (int offset = -2; offset < 20; offset++) {
      for (int length = 0; length < 20; length++) {
        if (!(offset == 12 && length == 2) && !(offset == 14 && length == 1)) {
          int at = offset;
          byte[] source = new byte[length];
          PeerFault fault = assertThrows(PeerFault.class, () -> config.write(at, source));
          assertEquals(FaultReason.CONFIG_ACCESS_INVALID, fault.reason());
        }
      }
    }
    byte[] after = new byte[16];
    config.read(0, after);
    assertArrayEquals(before, after);
    assertEquals(2, written.size());
  }

  @Test
  void aChangeRaisesTheGenerationAndNotifiesALiveDriver() {
    PuppetDevice device = PuppetDevice.echoing();
    ConfigSpace config = device.config();
    try (DeviceBench bench = DeviceBench.of(device).build()) {
      int generation = config.generation();
      config.change(() -> config.set("capacity", 1));
      assertEquals(generation + 1, config.generation());
      assertEquals(0, bench.configurationChanges());
      bench.start();
      config.change(() -> config.set("capacity", 2).set("blocks", 3));
      assertEquals(generation + 2, config.generation());
      assertEquals(1, bench.configurationChanges());
      assertEquals(2, config.get("capacity"));
      bench.reset();
      config.change(() -> config.set("capacity", 4));
      assertEquals(1, bench.configurationChanges());
    }
  }

  @Test
  void aReaderThatComparesGenerationsSeesNoMixture() throws InterruptedException {
    ConfigSpace config = PuppetDevice.echoing().config();
    Thread writer =
        Thread.ofPlatform()
            .start(
                () -> {
                  for (int i = 1; i <= 50_000; i++) {
                    int value = i;
                    config.change(() -> config.set("capacity", value).set("blocks", value));
                  }
                });
    long last = 0;
    while (last < 50_000) {
      int before = config.generation();
      long capacity = config.get("capacity");
      long blocks = config.get("blocks");
      if (config.generation() == before) {
        assertEquals(capacity, blocks);
        last = capacity;
      }
    }
    writer.join();
  }
}
