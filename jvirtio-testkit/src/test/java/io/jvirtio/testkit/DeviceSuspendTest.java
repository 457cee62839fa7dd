// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.DeviceStatus.ACKNOWLEDGE;
import static io.jvirtio.spec.DeviceStatus.DEVICE_NEEDS_RESET;
import static io.jvirtio.spec.DeviceStatus.DRIVER;
import static io.jvirtio.spec.DeviceStatus.DRIVER_OK;
import static io.jvirtio.spec.DeviceStatus.FAILED;
import static io.jvirtio.spec.DeviceStatus.FEATURES_OK;
import static io.jvirtio.spec.DeviceStatus.SUSPEND;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.DeviceHost;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A driver suspends its device and resumes it (virtio 1.4, Device Suspend). */
class DeviceSuspendTest {
  private static final String SECTION = "Device Suspend";
  private static final FeatureBits FEATURES =
      Features.EVENT_IDX.with(ReservedFeatures.VIRTIO_F_SUSPEND);
  private static final int READY = ACKNOWLEDGE | DRIVER | FEATURES_OK;
  private static final int LIVE = READY | DRIVER_OK;
  private static final int SUSPENDED = READY | SUSPEND;

  private static DeviceBench.Builder bench(PuppetDevice device, boolean packed) {
    DeviceBench.Builder builder = DeviceBench.of(device).ringFeatures(FEATURES).features(FEATURES);
    return packed ? builder.packed() : builder;
  }

  private static DeviceBench bench(PuppetDevice device) {
    return bench(device, false).start();
  }

  private static void suspend(DeviceBench bench) {
    bench.host().writeStatus(LIVE | SUSPEND);
    assertEquals(SUSPENDED, bench.host().status());
    assertTrue(bench.host().isSuspended());
    assertFalse(bench.host().isLive());
  }

  private static void resume(DeviceBench bench) {
    bench.host().writeStatus(SUSPENDED | DRIVER_OK);
    assertFalse(bench.host().isSuspended());
  }

  private static void echoes(DeviceBench bench) {
    bench.driver(0).chain().readable((byte) 1).writable(1).submit();
    bench.run();
    assertEquals(1, bench.driver(0).poll().length());
  }

  private static byte[] bytes(DeviceBench bench) {
    byte[] all = new byte[0];
    for (int i = 0; i < bench.memory().regions().size(); i++) {
      byte[] part = bench.memory().segment(i).toArray(ValueLayout.JAVA_BYTE);
      all = Arrays.copyOf(all, all.length + part.length);
      System.arraycopy(part, 0, all, all.length - part.length, part.length);
    }
    return all;
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  @Requirement(
      section = SECTION,
      text =
          "A device MUST NOT send any notifications for any virtqueues, access any virtqueues, or"
              + " modify any fields in its Configuration Space while suspended.")
  @Requirement(
      section = SECTION,
      text =
          "If the driver sets the SUSPEND bit in device status to 1, the device MUST either suspend"
              + " itself or set the DEVICE_NEEDS_RESET bit in device status to 1 when it fails to"
              + " suspend.")
  void whatIsInFlightIsUsedAndThenNothingIsTouched(boolean packed) {
    PuppetDevice device = PuppetDevice.holding(8);
    try (DeviceBench bench = bench(device, packed).queueSize(packed ? 7 : 4).start()) {
      ScriptedDriver driver = bench.driver(0);
      for (int round = 0; round < 9; round++) {
        device.releaseWhenPolled = false;
        driver.chain().readable((byte) 1).writable(1).submit();
        driver.chain().readable((byte) 2).writable(1).submit();
        bench.run();
        assertEquals(2, device.held.size());
        driver.enableNotifications();
        int before = bench.notifications(0);
        device.releaseWhenPolled = true;
        suspend(bench);
        assertTrue(device.held.isEmpty());
        assertTrue(bench.notifications(0) > before);
        assertEquals(2, driver.pollAll().size());
        int notifications = bench.notifications(0);
        int changes = bench.configurationChanges();

        driver.chain().readable((byte) 3).writable(1).submit();
        byte[] memory = bytes(bench);
        bench.host().notified(0);
        bench.run();
        ConfigSpace config = device.config();
        long capacity = config.get("capacity");
        config.change(() -> config.set("capacity", capacity + 1));
        assertEquals(capacity, config.get("capacity"));
        assertArrayEquals(memory, bytes(bench));
        assertEquals(notifications, bench.notifications(0));
        assertEquals(changes, bench.configurationChanges());

        resume(bench);
        bench.run();
        assertEquals(LIVE, bench.host().status());
        assertEquals(capacity + 1, config.get("capacity"));
        assertEquals(3, driver.poll().chain().readableBytes()[0]);
      }
    }
  }

  @Test
  @Requirement(
      section = SECTION,
      text =
          "If changes occur in the Configuration Space during suspended period, the device MUST NOT"
              + " send any configuration change notifications. Instead, the device MUST send the"
              + " notification when it resumes running.")
  void configurationChangesWaitForTheDriver() throws PeerFault {
    PuppetDevice device = PuppetDevice.echoing();
    ConfigSpace config = device.config().writable("mode", value -> {});
    try (DeviceBench bench = bench(device)) {
      suspend(bench);
      int generation = config.generation();
      for (int i = 0; i < 3; i++) {
        config.change(() -> config.set("blocks", config.get("blocks") + 1));
      }
      bench.host().writeConfig(14, new byte[] {7});
      bench.host().writeConfig(1000, new byte[] {7});
      assertEquals(0, config.get("mode"));
      assertEquals(0, bench.configurationChanges());
      assertEquals(generation, config.generation());
      resume(bench);
      assertEquals(1, bench.configurationChanges());
      assertNotEquals(generation, config.generation());
      assertEquals(3, config.get("blocks"));
      bench.host().writeConfig(14, new byte[] {7});
      assertEquals(7, config.get("mode"));
      suspend(bench);
      resume(bench);
      assertEquals(1, bench.configurationChanges());
    }
  }

  @ParameterizedTest
  @CsvSource({
    // before DRIVER_OK
    "true, 16, 0",
    "true, 1 3 19, 3",
    "true, 1 3 11 27, 11",
    "true, 1 3 11 31, 15",
    // not negotiated
    "false, 1 3 11 15 31, 15",
    "false, 1 3 11 15 16, 15",
    // in the right place
    "true, 1 3 11 15 31, 27",
    "true, 1 3 11 15 16, 27",
    // only DRIVER_OK resumes
    "true, 1 3 11 15 31 27, 27",
    "true, 1 3 11 15 31 16, 27",
    "true, 1 3 11 15 31 11, 27",
    "true, 1 3 11 15 31 155, 155",
    "true, 1 3 11 15 31 31, 15",
    "true, 1 3 11 15 31 15, 15",
    "true, 1 3 11 15 31 4, 15",
    "true, 1 3 11 15 31 31 31, 27",
    // reset
    "true, 1 3 11 15 31 0, 0",
  })
  @Requirement(
      section = SECTION,
      text =
          "The device MUST ignore any operations on the SUSPEND bit from the driver if the device"
              + " has not been completely initialized by the procedures in Device Initialization")
  void suspensionIsAStateMachine(boolean negotiated, String writes, int expected) {
    try (DeviceBench bench = bench(PuppetDevice.echoing(), false).build()) {
      DeviceHost host = bench.host();
      host.writeDriverFeatures(negotiated ? FEATURES : Features.EVENT_IDX);
      for (String value : writes.split(" ")) {
        host.writeStatus(Integer.parseInt(value));
      }
      assertEquals(expected, host.status());
      assertEquals((expected & SUSPEND) != 0, host.isSuspended());
    }
  }

  @Test
  @Requirement(
      section = SECTION,
      text =
          "If the driver sets the SUSPEND bit in device status to 1, the device MUST either suspend"
              + " itself or set the DEVICE_NEEDS_RESET bit in device status to 1 when it fails to"
              + " suspend.")
  void aDeviceThatDoesNotStopNeedsAReset() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      // On the owner, in the midst of a buffer: that one cannot end before this does.
      device.action =
          (queue, chain) -> {
            bench.host().writeStatus(LIVE | SUSPEND);
            PuppetDevice.echo(queue, chain);
          };
      bench.driver(0).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertEquals(LIVE | DEVICE_NEEDS_RESET, bench.host().status());
      assertEquals(1, bench.configurationChanges());
      device.action = PuppetDevice::echo;
      bench.restart();
      echoes(bench);
      assertEquals(LIVE, bench.host().status());
    }
  }

  /** Asks the owner, to whom the device belongs. */
  private static boolean isHeld(DeviceBench bench, PuppetDevice device) {
    AtomicBoolean held = new AtomicBoolean();
    try {
      DriverQueueSet.onOwner(bench.owner(), () -> held.set(!device.held.isEmpty()));
    } catch (IOException e) {
      throw new AssertionError(e);
    }
    return held.get();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  @Requirement(
      section = SECTION,
      text =
          "If the driver sets the SUSPEND bit in device status to 1, the device MUST either suspend"
              + " itself or set the DEVICE_NEEDS_RESET bit in device status to 1 when it fails to"
              + " suspend.")
  void requestsThatDoNotEndInTimeNeedAReset(boolean threaded) throws PeerFault {
    PuppetDevice device = PuppetDevice.holding(8);
    DeviceBench.Builder builder = bench(device, false).stopDeadline(Duration.ofMillis(50));
    try (DeviceBench bench = (threaded ? builder.threaded() : builder).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable((byte) 1).writable(1).submit();
      bench.await(() -> isHeld(bench, device));
      bench.host().writeStatus(LIVE | SUSPEND);
      assertEquals(LIVE | DEVICE_NEEDS_RESET, bench.host().status());
      assertFalse(bench.host().isSuspended());
      assertEquals(1, bench.configurationChanges());
      // It still has a buffer, so its memory is not given up either, and a reset fails as well.
      assertTrue(bench.host().isRunning(0));
      assertThrows(IllegalStateException.class, bench::reset);
      assertEquals(DEVICE_NEEDS_RESET, bench.host().status(), "not 0: it may still write");
      assertNull(driver.poll());

      device.releaseWhenPolled = true;
      bench.reset();
      assertFalse(bench.host().isRunning(0));
      assertEquals(0, bench.host().status());
      assertTrue(device.held.isEmpty());
      device.action = PuppetDevice::echo;
      bench.restart();
      bench.driver(0).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      bench.awaitUsed(0, 1);
      assertEquals(1, bench.driver(0).poll().length());
      assertEquals(LIVE, bench.host().status());
    }
  }

  @Test
  @Requirement(
      section = SECTION,
      text =
          "If the device has been suspended and the driver resumes the device running by setting"
              + " the DRIVER_OK bit in device status to 1, the device MUST either resume normal"
              + " operation or set the DEVICE_NEEDS_RESET bit in device status to 1 when it fails"
              + " to resume.")
  void aDeviceThatDoesNotStartAgainNeedsAReset() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      suspend(bench);
      device.failStart = true;
      resume(bench);
      assertEquals(LIVE | DEVICE_NEEDS_RESET, bench.host().status());
      assertEquals(FaultReason.DEVICE_ERROR, bench.brokenReason(0));
      assertEquals(1, bench.configurationChanges());
      device.failStart = false;
      bench.restart();
      echoes(bench);
    }
  }

  @Test
  void aBrokenQueueStaysBroken() {
    PuppetDevice device = new PuppetDevice(2, 8);
    try (DeviceBench bench = bench(device)) {
      device.action =
          (queue, chain) -> {
            throw new PeerFault(FaultReason.REQUEST_MALFORMED, 0);
          };
      bench.driver(0).chain().writable(1).submit();
      bench.run();
      device.action = PuppetDevice::echo;
      bench.host().writeStatus(LIVE | SUSPEND);
      assertEquals(SUSPENDED | DEVICE_NEEDS_RESET, bench.host().status());
      resume(bench);
      assertEquals(LIVE | DEVICE_NEEDS_RESET, bench.host().status());
      bench.driver(0).chain().writable(1).submit();
      bench.driver(1).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertNull(bench.driver(0).poll());
      assertEquals(1, bench.driver(1).poll().length());
    }
  }

  @Test
  void aFaultIsToldAtTheEnd() {
    try (DeviceBench bench = bench(PuppetDevice.echoing())) {
      suspend(bench);
      bench.host().setMemory(bench.memory().snapshot(), queue -> null);
      assertEquals(SUSPENDED | DEVICE_NEEDS_RESET, bench.host().status());
      assertEquals(0, bench.configurationChanges());
      resume(bench);
      bench.driver(0).chain().writable(1).submit();
      bench.run();
      assertNull(bench.driver(0).poll());
      assertEquals(1, bench.configurationChanges());
      bench.restart();
      echoes(bench);
    }
  }

  @Test
  void aResetEndsIt() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device)) {
      suspend(bench);
      device.config().change(() -> device.config().set("ports", 9));
      bench.host().writeStatus(SUSPENDED | FAILED);
      bench.reset();
      assertEquals(0, bench.host().status());
      assertEquals(9, device.config().get("ports"));
      assertEquals(0, bench.configurationChanges());
      bench.restart();
      echoes(bench);
    }
  }

  @Test
  void memoryAndQueuesMayBeReplacedMeanwhile() throws PeerFault {
    try (DeviceBench bench = bench(new PuppetDevice(2, 8))) {
      echoes(bench);
      suspend(bench);
      bench.replaceMemory(bench.memory().snapshot());
      bench.host().resetQueue(1);
      bench.startQueue(1).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertFalse(bench.host().isRunning(0));
      assertFalse(bench.host().isRunning(1));
      assertNull(bench.driver(1).poll());
      resume(bench);
      bench.run();
      assertEquals(1, bench.driver(1).poll().length());
      echoes(bench);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aQueueThatWasStoppedStaysSo(boolean meanwhile) throws PeerFault {
    try (DeviceBench bench = bench(new PuppetDevice(2, 8))) {
      bench.driver(1).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      if (!meanwhile) {
        assertEquals(1, bench.host().stopQueue(1));
      }
      suspend(bench);
      if (meanwhile) {
        assertEquals(1, bench.host().stopQueue(1));
      }
      resume(bench);
      assertTrue(bench.host().isRunning(0));
      assertFalse(bench.host().isRunning(1));
      assertEquals(1, bench.host().stopQueue(1));
      echoes(bench);
    }
  }

  @Test
  void aThreadIsStoppedAndGoesOn() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = bench(device, true).threaded().start()) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < 200; i++) {
        driver.chain().readable((byte) i).writable(1).submit();
        bench.run();
        suspend(bench);
        int pending = driver.pending();
        int notifications = bench.notifications(0);
        driver.chain().readable((byte) i).writable(1).submit();
        bench.run();
        assertEquals(pending, driver.pending());
        assertEquals(notifications, bench.notifications(0));
        resume(bench);
        bench.awaitUsed(0, 2);
        driver.pollAll();
      }
      assertEquals(0, bench.host().faults());
    }
  }
}
