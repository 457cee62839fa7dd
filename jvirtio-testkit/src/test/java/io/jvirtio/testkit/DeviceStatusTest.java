// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.DeviceStatus.ACKNOWLEDGE;
import static io.jvirtio.spec.DeviceStatus.DEVICE_NEEDS_RESET;
import static io.jvirtio.spec.DeviceStatus.DRIVER;
import static io.jvirtio.spec.DeviceStatus.DRIVER_OK;
import static io.jvirtio.spec.DeviceStatus.FAILED;
import static io.jvirtio.spec.DeviceStatus.FEATURES_OK;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The device status field, feature negotiation and reset. */
class DeviceStatusTest {
  private static final int READY = ACKNOWLEDGE | DRIVER | FEATURES_OK;

  private static DeviceBench bench(PuppetDevice device) {
    return DeviceBench.of(device).build();
  }

  /** Each row: what is written in turn, and what is read after the last write. */
  @ParameterizedTest
  @CsvSource({
    // the modern sequence
    "1, 1",
    "1 3, 3",
    "1 3 11, 11",
    "1 3 11 15, 15",
    // bits cannot be cleared
    "3 1, 3",
    "15 1, 15",
    "15 8, 15",
    // all at once
    "15, 15",
    // modern: no DRIVER_OK without FEATURES_OK
    "4, 0",
    "1 3 7, 3",
    "1 3 7 15, 15",
    // a driver that gives up
    "3 131, 131",
    "15 143, 143",
    // NEEDS_RESET is the device's
    "64, 0",
    "79, 15",
    // reset at any point
    "1 0, 0",
    "3 11 0, 0",
    "15 0, 0",
    "131 0, 0",
    "0 0, 0",
    "15 0 1 3 11 15, 15",
  })
  @Requirement(
      section = "Device Reset",
      text = "A device MUST reinitialize device status to 0 after receiving a reset.")
  void statusIsAStateMachine(String writes, int expected) {
    try (DeviceBench bench = bench(PuppetDevice.echoing())) {
      DeviceHost host = bench.host();
      host.writeDriverFeatures(Features.MODERN);
      for (String value : writes.split(" ")) {
        host.writeStatus(Integer.parseInt(value));
        if (value.equals("0")) {
          host.writeDriverFeatures(Features.MODERN);
        }
      }
      assertEquals(expected, host.status());
      assertEquals((expected & DRIVER_OK) != 0, host.isLive());
    }
  }

  @Test
  void aLegacyDriverNeedsNoFeaturesOk() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      DeviceHost host = bench.host();
      host.writeStatus(ACKNOWLEDGE);
      host.writeStatus(ACKNOWLEDGE | DRIVER);
      host.writeDriverFeatures(FeatureBits.of(PuppetDevice.FEATURE_A));
      host.writeStatus(ACKNOWLEDGE | DRIVER | DRIVER_OK);
      assertEquals(ACKNOWLEDGE | DRIVER | DRIVER_OK, host.status());
      assertEquals(FeatureBits.of(PuppetDevice.FEATURE_A), device.negotiated);
    }
  }

  @Test
  void aLegacyDriverWithFeaturesThatCannotBeIsNotServed() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      bench.host().writeDriverFeatures(FeatureBits.of(1));
      bench.host().writeStatus(ACKNOWLEDGE | DRIVER | DRIVER_OK);
      assertEquals(ACKNOWLEDGE | DRIVER, bench.host().status());
      assertNull(device.negotiated);
    }
  }

  @Test
  @Requirement(
      section = "Feature Bits",
      text =
          "The device SHOULD accept any valid subset of features the driver accepts, otherwise it"
              + " MUST fail to set the FEATURES_OK device status bit when the driver writes it.")
  @Requirement(
      section = "Feature Bits",
      text =
          "If a device has successfully negotiated a set of features at least once (by accepting"
              + " the FEATURES_OK device status bit during device initialization), then it SHOULD"
              + " NOT fail re-negotiation of the same set of features after a device or system"
              + " reset.")
  void everySubsetOfWhatIsOfferedIsAcceptedAndNothingElse() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      FeatureBits offered = bench.host().deviceFeatures();
      for (int twice = 0; twice < 2; twice++) {
        for (int bit = 0; bit < FeatureBits.WIDTH; bit++) {
          FeatureBits more = Features.MODERN.with(bit);
          assertEquals(offered.has(bit), bench.negotiate(more), "bit " + bit);
          assertEquals(offered.has(bit) ? READY : ACKNOWLEDGE | DRIVER, bench.host().status());
          bench.reset();
          if (offered.has(bit)) {
            assertEquals(more, device.negotiated);
            FeatureBits fewer = offered.without(bit).or(Features.MODERN);
            assertTrue(bench.negotiate(fewer));
            assertEquals(fewer, device.negotiated);
            bench.reset();
          }
        }
      }
    }
  }

  @Test
  void aDeviceMayRefuseASubset() {
    PuppetDevice device = PuppetDevice.echoing();
    device.required = FeatureBits.of(PuppetDevice.FEATURE_B);
    try (DeviceBench bench = bench(device)) {
      assertFalse(bench.negotiate(Features.MODERN));
      assertNull(device.negotiated);
      // The driver may try others without a reset: FEATURES_OK never was set.
      assertTrue(bench.negotiate(Features.MODERN.with(PuppetDevice.FEATURE_B)));
      assertEquals(1, device.negotiations);
    }
  }

  @Test
  void featuresAreFinalFromFeaturesOkToReset() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      DeviceHost host = bench.host();
      bench.negotiate(Features.MODERN);
      host.writeDriverFeatures(Features.EVENT_IDX);
      assertEquals(Features.MODERN, host.driverFeatures());
      host.writeStatus(READY);
      assertEquals(1, device.negotiations);
      bench.driverOk();
      host.writeDriverFeatures(Features.EVENT_IDX);
      assertEquals(Features.MODERN, host.driverFeatures());
      bench.reset();
      assertEquals(FeatureBits.NONE, host.driverFeatures());
      assertTrue(bench.negotiate(Features.EVENT_IDX));
      assertEquals(Features.EVENT_IDX, device.negotiated);
    }
  }

  @Test
  @Requirement(section = "Reserved Feature Bits", text = "A device MUST offer VIRTIO_F_VERSION_1.")
  @Requirement(
      section = "Reserved Feature Bits",
      text =
          "A device SHOULD offer VIRTIO_F_SR_IOV if it is a PCI device and presents a PCI SR-IOV"
              + " capability structure, otherwise it MUST NOT offer VIRTIO_F_SR_IOV.")
  @Requirement(
      section = "Feature Bits",
      text =
          "The device MUST NOT offer feature bits corresponding to features it would not support if"
              + " accepted by the driver (even if the driver is prohibited from accepting the"
              + " feature bits by the specification)")
  @Requirement(
      section = "Feature Bits",
      text =
          "The device MUST NOT offer a feature which requires another feature which was not"
              + " offered.")
  void whatIsOfferedIsWhatTheHostAndTheDeviceImplement() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      assertEquals(
          FeatureBits.of(
              PuppetDevice.FEATURE_A,
              PuppetDevice.FEATURE_B,
              ReservedFeatures.VIRTIO_F_VERSION_1,
              ReservedFeatures.VIRTIO_F_INDIRECT_DESC,
              ReservedFeatures.VIRTIO_F_EVENT_IDX,
              ReservedFeatures.VIRTIO_F_RING_PACKED,
              ReservedFeatures.VIRTIO_F_RING_RESET),
          bench.host().deviceFeatures());
      // None requires another, but for the packed ring, which has no legacy form.
    }
    for (int bit : new int[] {30, 42, 127}) {
      assertThrows(
          IllegalArgumentException.class,
          () -> DeviceBench.of(device).ringFeatures(FeatureBits.of(bit)).build());
    }
  }

  @Test
  void ringFeaturesCanBeSwitchedOff() {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing()).ringFeatures(Features.MODERN).build()) {
      assertFalse(bench.negotiate(Features.EVENT_IDX));
      assertTrue(bench.negotiate(Features.MODERN));
    }
  }

  @ParameterizedTest
  @EnumSource
  @Requirement(
      section = "Device Status Field",
      text =
          "The device MUST NOT consume buffers or send any used buffer notifications to the driver"
              + " before DRIVER_OK.")
  @Requirement(
      section = "Feature Bits / Legacy Interface: A Note on Feature Bits",
      text =
          "Transitional devices MUST detect Legacy drivers by detecting that VIRTIO_F_VERSION_1 has"
              + " not been acknowledged by the driver.")
  void nothingIsConsumedBeforeDriverOk(Session session) {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = session.of(device).build()) {
      bench.negotiate();
      ScriptedDriver driver = bench.startQueue(0);
      driver.chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertTrue(device.started.isEmpty());
      assertNull(driver.poll());
      assertEquals(0, bench.notifications(0));
      assertEquals(0, driver.pending());
      bench.driverOk();
      bench.run();
      assertEquals(1, driver.poll().length());
      assertEquals(1, bench.notifications(0));
      assertEquals(session.isModern(), (bench.host().status() & FEATURES_OK) != 0);
    }
  }

  @Test
  void aQueueMayBeEnabledAfterDriverOk() {
    try (DeviceBench bench = bench(new PuppetDevice(2, 8))) {
      bench.negotiate();
      bench.startQueue(0);
      bench.driverOk();
      bench.startQueue(1).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertEquals(1, bench.driver(1).poll().length());
      assertEquals(0, bench.notifications(0));
      assertEquals(1, bench.notifications(1));
    }
  }

  @Test
  void aFaultBeforeDriverOkNotifiesNobody() {
    try (DeviceBench bench = bench(PuppetDevice.echoing())) {
      bench.host().config().change(() -> bench.host().config().set("mode", 1));
      assertEquals(0, bench.configurationChanges());
      assertEquals(0, bench.host().status() & DEVICE_NEEDS_RESET);
    }
  }

  @Test
  void queuesThatAreNotThereAreFaults() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing()).start()) {
      DeviceHost host = bench.host();
      for (int queue : new int[] {-1, 1, 65535, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
        assertReason(() -> host.queueMaxSize(queue));
        assertReason(() -> host.counters(queue));
        assertReason(() -> host.isRunning(queue));
        assertReason(() -> host.stopQueue(queue));
        assertReason(() -> host.resetQueue(queue));
        assertReason(() -> host.startQueue(queue, bench.driver(0).layout(), bench.owner(), false));
      }
    }
  }

  private static void assertReason(Executable call) {
    assertEquals(FaultReason.QUEUE_INDEX_INVALID, assertThrows(PeerFault.class, call).reason());
  }

  @Test
  void failedStopsNothing() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing()).start()) {
      bench.host().writeStatus(bench.host().status() | FAILED);
      assertEquals(READY | DRIVER_OK | FAILED, bench.host().status());
      bench.reset();
      assertEquals(0, bench.host().status());
    }
  }
}
