// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.DeviceStatus.FAILED;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_EVENT_IDX;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_INDIRECT_DESC;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_BLK_SIZE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_FLUSH;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.NegotiationException;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A driver's side of device initialisation and feature negotiation. */
class DriverInitializationTest extends ScriptedBlockDevice {
  private static final String STATUS = "Device Status Field";
  private static final String INITIALIZATION = "Device Initialization";

  /** The calls but for reads of the status that only serve to keep its bits. */
  private List<String> calls() {
    return transport.calls().stream().filter(call -> !call.equals("status")).toList();
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text = "The driver MUST follow this sequence to initialize a device")
  @Requirement(
      section = STATUS,
      text =
          "The driver MUST update device status, setting bits to indicate the completed steps of"
              + " the driver initialization sequence specified in Device Initialization.")
  void theStepsComeInTheirOrder() throws IOException {
    transport.offer(modern(VIRTIO_BLK_F_FLUSH));
    type.understands(VIRTIO_BLK_F_FLUSH);
    device().start(type);
    assertEquals(
        List.of(
            "reset",
            "writeStatus ACKNOWLEDGE",
            "writeStatus ACKNOWLEDGE|DRIVER",
            "deviceFeatures",
            "writeDriverFeatures " + modern(VIRTIO_BLK_F_FLUSH),
            "writeStatus ACKNOWLEDGE|DRIVER|FEATURES_OK",
            "findQueues 1",
            "writeStatus ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK"),
        calls());
    List<String> all = transport.calls();
    int written = all.indexOf("writeStatus ACKNOWLEDGE|DRIVER|FEATURES_OK");
    assertEquals("status", all.get(written + 1), "FEATURES_OK is read back before anything else");
    assertEquals(List.of("validate", "probe", "scan"), type.events);
    assertEquals(State.LIVE, device.state());
    assertTrue(device.isReady());
    assertEquals(modern(VIRTIO_BLK_F_FLUSH), device.features());
  }

  @Test
  void eachStepOfTheDriverSeesItsState() throws IOException {
    type.in("validate", d -> assertEquals(State.STARTING, d.state()))
        .in("probe", d -> assertEquals(State.NEGOTIATED, d.state()))
        .in("scan", d -> assertEquals(State.LIVE, d.state()));
    device().start(type);
    assertEquals(3, type.events.size());
  }

  @Test
  void aDriverCanMakeItsDeviceLiveEarly() throws IOException {
    type.in(
        "probe",
        d -> {
          d.ready();
          d.ready();
          assertTrue(d.isReady());
          assertThrows(IllegalStateException.class, () -> d.findQueues(List.of()));
        });
    device().start(type);
    assertEquals(4, statuses().size(), "DRIVER_OK is written once");
  }

  @Test
  @Requirement(section = STATUS, text = "The driver MUST NOT clear a device status bit.")
  void noStatusBitIsCleared() throws IOException {
    transport.before(
        "findQueues",
        () -> {
          throw new IllegalStateException("a bug");
        });
    assertThrows(IllegalStateException.class, () -> device().start(type));
    String before = "";
    for (String status : statuses()) {
      assertTrue(
          List.of(status.split("\\|")).containsAll(List.of(before.split("\\|")))
              || before.isEmpty(),
          before + " then " + status);
      before = status;
    }
    assertEquals("ACKNOWLEDGE|DRIVER|FEATURES_OK|FAILED", before);
  }

  @Test
  void theDevicesOwnStatusBitIsNotClearedEither() throws IOException {
    type.in(
        "validate",
        d -> {
          transport.needReset();
          throw new IOException("unwanted");
        });
    assertThrows(IOException.class, () -> device().start(type));
    assertEquals("ACKNOWLEDGE|DRIVER|DEVICE_NEEDS_RESET|FAILED", statuses().getLast());
  }

  @Test
  void aDeviceThatNeedsAResetMeanwhileIsNotMadeLive() {
    type.in("probe", d -> transport.needReset());
    IOException e = assertThrows(IOException.class, () -> device().start(type));
    assertTrue(e.getMessage().contains("needs a reset"), e.getMessage());
    assertFalse(statuses().toString().contains("DRIVER_OK"));
  }

  @Test
  @Requirement(
      section = STATUS,
      text =
          "If the driver sets the FAILED bit, the driver MUST later reset the device before"
              + " attempting to re-initialize.")
  void aFailedDeviceIsResetBeforeTheNextTry() throws IOException {
    type.in(
        "probe",
        d -> {
          throw new IOException("not today");
        });
    IOException e = assertThrows(IOException.class, () -> device().start(type));
    assertEquals("not today", e.getMessage());
    assertEquals(State.FAILED, device.state());
    assertSame(e, device.failure());
    assertNull(device.driver());
    assertTrue((transport.currentStatus() & FAILED) != 0);
    assertTrue(transport.calls().contains("deleteQueues"), "the queues of the probe are gone");

    transport.clearCalls();
    type.in("probe", null);
    device.start(type);
    assertEquals("reset", transport.calls().getFirst());
    assertEquals(State.LIVE, device.state());
    assertNull(device.failure());
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "If any of these steps go irrecoverably wrong, the driver SHOULD set the FAILED status"
              + " bit to indicate that it has given up on the device (it can reset the device later"
              + " to restart if desired). The driver MUST NOT continue initialization in that"
              + " case.")
  void whenAnyCallFailsNothingGoesOn() throws IOException {
    device().start(type);
    int calls = transport.calls().size();
    device.close();
    for (int n = 0; n < calls; n++) {
      try (ScriptedTransport failing = new ScriptedTransport(DeviceType.BLOCK.id())) {
        TestDriverType driver = new TestDriverType("test", failing.owner());
        failing.failAfter(n);
        DriverDevice one = new DriverDevice(failing, DriverDevice.ringFeatures(), Runnable::run);
        assertThrows(IOException.class, () -> one.start(driver));
        assertTrue(one.state() == State.FAILED || one.state() == State.LOST, one.toString());
        assertFalse((failing.currentStatus() & DeviceStatus.DRIVER_OK) != 0);
        assertFalse(driver.events.contains("scan"));
        assertNull(one.driver());
        one.close();
        assertEquals(0, failing.memory().allocated());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"validate", "probe", "scan"})
  void whenADriverFailsTheDeviceIsTold(String method) {
    for (boolean bug : new boolean[] {false, true}) {
      type.in(
          method,
          d -> {
            if (bug) {
              throw new IllegalArgumentException("a bug");
            }
            throw new IOException("no");
          });
      if (device == null) {
        device();
      }
      assertThrows(Exception.class, () -> device.start(type));
      assertEquals(State.FAILED, device.state());
      assertTrue(statuses().getLast().contains("FAILED"));
      assertTrue((transport.currentStatus() & DeviceStatus.DRIVER_OK) == 0);
      assertEquals(method.equals("scan"), type.events.contains("remove"));
      assertEquals(0, transport.memory().allocated());
    }
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "During this step the driver MAY read (but MUST NOT write) the device-specific"
              + " configuration fields to check that it can support the device before accepting"
              + " it.")
  void validateMayReadTheConfigurationButNotWriteIt() throws IOException {
    type.understands(VIRTIO_BLK_F_CONFIG_WCE);
    transport.offer(modern(VIRTIO_BLK_F_CONFIG_WCE));
    type.in(
            "validate",
            d -> {
              assertEquals(0, d.config().get("capacity"));
              assertThrows(IllegalStateException.class, () -> d.config().set("writeback", 1));
            })
        .in("probe", d -> d.config().set("writeback", 1));
    device().start(type);
    assertEquals(
        List.of("writeConfig 32 1"),
        transport.calls().stream().filter(call -> call.startsWith("writeConfig")).toList());
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text = "The driver MUST NOT accept new feature bits after this step.")
  void featuresAreFinalAfterFeaturesOk() throws IOException {
    transport.offer(modern(VIRTIO_BLK_F_FLUSH));
    type.understands(VIRTIO_BLK_F_FLUSH)
        .in(
            "probe",
            d ->
                assertThrows(
                    IllegalStateException.class, () -> d.clearFeature(VIRTIO_BLK_F_FLUSH)));
    device().start(type);
    assertThrows(IllegalStateException.class, () -> device.clearFeature(VIRTIO_BLK_F_FLUSH));
    assertEquals(
        1, transport.calls().stream().filter(c -> c.startsWith("writeDriverFeatures")).count());
    assertTrue(device.hasFeature(VIRTIO_BLK_F_FLUSH));
  }

  @Test
  @Requirement(
      section = "Device Initialization / Legacy Interface: Device Initialization",
      text =
          "The transitional driver MUST execute the initialization sequence as described in Device"
              + " Initialization but omitting the steps Set FEATURES_OK and Re-read FEATURES_OK.")
  void theLegacyInterfaceHasNoFeaturesOk() throws IOException {
    transport
        .legacy(ByteOrder.LITTLE_ENDIAN)
        .offer(new FeatureBits(0xffff_ffffL & ~(1L << VIRTIO_BLK_F_BLK_SIZE), 0));
    type.understands(VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_BLK_SIZE);
    device().start(type);
    FeatureBits accepted =
        FeatureBits.of(
            VIRTIO_BLK_F_FLUSH,
            ReservedFeatures.VIRTIO_F_ANY_LAYOUT,
            VIRTIO_F_INDIRECT_DESC,
            VIRTIO_F_EVENT_IDX);
    assertEquals(
        List.of(
            "reset",
            "writeStatus ACKNOWLEDGE",
            "writeStatus ACKNOWLEDGE|DRIVER",
            "deviceFeatures",
            "writeDriverFeatures " + accepted,
            "findQueues 1",
            "writeStatus ACKNOWLEDGE|DRIVER|DRIVER_OK"),
        calls());
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "The driver MUST NOT send any buffer available notifications to the device before setting"
              + " DRIVER_OK.")
  void nothingIsNotifiedBeforeDriverOk() throws IOException {
    type.in(
        "probe",
        d -> {
          assertTrue(send("first"));
          assertTrue(send("second"));
          assertEquals(0, transport.notifications(0));
        });
    transport.onNotify(queue -> assertTrue(device.isReady()));
    device().start(type);
    assertEquals(1, transport.notifications(0), "what was held back, as one");
    assertTrue(send("third"));
    assertEquals(2, transport.notifications(0));
  }

  private boolean send(Object token) throws IOException {
    try {
      return type.last.send(token);
    } catch (PeerFault e) {
      throw new IOException(e);
    }
  }

  @Test
  void nothingIsNotifiedWhenNothingWasAvailable() throws IOException {
    device().start(type);
    assertEquals(0, transport.notifications(0));
  }

  @Test
  void theWrongDriverIsAnError() {
    type.drives(DeviceId.ofDevice(DeviceType.ENTROPY.id()));
    assertThrows(IOException.class, () -> device().start(type));
    assertEquals(List.of(), transport.calls());
    assertEquals(State.NEW, device.state());
  }

  @Test
  void openClosesTheTransportWhenItFails() {
    transport.refuseFeatures(true);
    assertThrows(
        NegotiationException.class,
        () -> DriverDevice.open(transport, type, TestDriverType.TestDriver.class));
    assertTrue(transport.isClosed());
  }

  @Test
  void openStartsTheDriver() throws IOException {
    TestDriverType.TestDriver driver =
        DriverDevice.open(transport, type, TestDriverType.TestDriver.class);
    assertSame(driver, driver.device.driver());
    driver.device.close();
    assertTrue(transport.isClosed());
    assertEquals("remove", type.events.getLast());
  }

  @Test
  void callsOutOfOrderAreRefused() throws IOException {
    DriverDevice fresh = device();
    assertThrows(IllegalStateException.class, fresh::ready);
    assertThrows(IllegalStateException.class, fresh::freeze);
    assertThrows(IllegalStateException.class, fresh::restore);
    assertThrows(IllegalStateException.class, () -> fresh.findQueues(List.of()));
    assertThrows(IllegalStateException.class, () -> fresh.recover(Duration.ofSeconds(1)));
    fresh.start(type);
    assertThrows(IllegalStateException.class, () -> fresh.start(type));
    assertThrows(IllegalStateException.class, fresh::deleteQueues);
    assertThrows(IllegalStateException.class, fresh::restore);
    fresh.close();
    assertThrows(IllegalStateException.class, () -> fresh.start(type));
    fresh.close();
    assertEquals(1, transport.calls().stream().filter("close"::equals).count());
  }
}
