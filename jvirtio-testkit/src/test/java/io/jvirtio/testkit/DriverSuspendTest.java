// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_EVENT_IDX;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_RING_PACKED;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_SUSPEND;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_VERSION_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The driver's side of suspension (virtio 1.4, Device Suspend). */
class DriverSuspendTest {
  private static final String SECTION = "Device Suspend";
  private static final String ONCE = "Once the driver sets SUSPEND bit in device status to 1: ";
  private static final Duration SOON = Duration.ofSeconds(10);
  private static final FeatureBits FEATURES =
      FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX, VIRTIO_F_SUSPEND);

  private final ScriptedTransport transport =
      new ScriptedTransport(DeviceType.BLOCK.id()).offer(FEATURES).config(new byte[96]);
  private final TestDriverType type = new TestDriverType("test", transport.owner());
  private final DriverDevice device =
      new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);
  private final List<String> states = new ArrayList<>();
  private TestDriverType.TestDriver driver;

  @AfterEach
  void close() {
    device.close();
  }

  private void start() throws IOException {
    device.start(type);
    driver = type.last;
    type.events.clear();
    device.onStateChange((d, from, to) -> states.add(from + " " + to));
    transport.clearCalls();
  }

  private void send(Object token) throws IOException {
    try {
      assertTrue(driver.send(token));
    } catch (PeerFault e) {
      throw new AssertionError(e);
    }
  }

  private void answer(int buffers) {
    List<ScriptedDevice.Buffer> all = transport.device(0).takeAll();
    assertEquals(buffers, all.size());
    all.forEach(buffer -> transport.device(0).use(buffer, 0));
    transport.device(0).publish();
    transport.device(0).enableNotifications();
    transport.run();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  @Requirement(
      section = SECTION,
      text =
          ONCE
              + "The driver MUST verify whether the device has been suspended by re-reading device"
              + " status, examining whether the SUSPEND bit is set to 1 and the DRIVER_OK bit is"
              + " set to 0.")
  @Requirement(
      section = SECTION,
      text = ONCE + "The driver MUST NOT make any more buffers available to the device.")
  @Requirement(
      section = SECTION,
      text = ONCE + "The driver MUST NOT send notifications for any virtqueues.")
  @Requirement(
      section = SECTION,
      text =
          ONCE
              + "The driver MUST NOT make any changes to Device Configuration Space except for"
              + " device status if it is part of the Configuration Space.")
  @Requirement(
      section = SECTION,
      text =
          "When the device has been suspended, once the driver sets DRIVER_OK bit in device status"
              + " to 1, the driver MUST wait for the SUSPEND bit in device status to turn 0 and the"
              + " DRIVER_OK bit in device_status to turn 1 before any normal operations.")
  void nothingIsSaidWhileItIsSuspended(boolean packed) throws IOException {
    transport.offer(packed ? FEATURES.with(VIRTIO_F_RING_PACKED) : FEATURES);
    start();
    transport.device(0).enableNotifications();
    send("a");
    int before = transport.notifications(0);
    // Already from when it is asked on; what was available still comes back.
    transport.before(
        "writeStatus",
        () -> {
          try {
            send("b");
          } catch (IOException e) {
            throw new AssertionError(e);
          }
          answer(1);
        });
    device.suspend(SOON);
    transport.before("writeStatus", null);
    assertEquals(List.of("a"), driver.done);
    assertEquals(
        List.of("status", "writeStatus ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK|SUSPEND", "status"),
        transport.calls());
    assertEquals(State.SUSPENDED, device.state());
    assertFalse(device.isReady());
    send("c");
    transport.run();
    assertEquals(0, transport.device(0).available());
    assertEquals(before, transport.notifications(0));
    assertThrows(IllegalStateException.class, () -> device.config().set("writeback", 1));
    assertEquals(List.of("b", "c"), driver.inFlight);

    transport.clearCalls();
    transport.before(
        "writeStatus", () -> assertEquals(before, transport.notifications(0), "not yet"));
    device.resume(SOON);
    assertEquals(
        List.of("status", "writeStatus ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK|SUSPEND", "status"),
        transport.calls());
    assertTrue(transport.notifications(0) > before);
    answer(2);
    assertEquals(List.of("a", "b", "c"), driver.done);
    assertEquals(List.of("LIVE SUSPENDED", "SUSPENDED LIVE"), states);
    transport.before("writeStatus", null);
    device.suspend(SOON);
    assertEquals(DeviceStatus.SUSPEND, transport.currentStatus() & ~11);
  }

  @Test
  void aDeviceTakesItsTime() throws IOException {
    start();
    transport.refuseSuspension(true);
    int[] reads = {0};
    transport.before(
        "status",
        () -> {
          if (reads[0]++ == 5) {
            transport.refuseSuspension(false);
            try {
              transport.writeStatus(transport.currentStatus() | DeviceStatus.SUSPEND);
            } catch (IOException e) {
              throw new AssertionError(e);
            }
          }
        });
    device.suspend(SOON);
    assertTrue(reads[0] > 5);
    assertEquals(State.SUSPENDED, device.state());
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void oneThatNeverGetsThereIsBroken(boolean atResume) throws IOException {
    start();
    send("a");
    if (atResume) {
      device.suspend(SOON);
    }
    transport.refuseSuspension(true);
    Duration little = Duration.ofMillis(20);
    IOException e =
        assertThrows(
            IOException.class,
            () -> {
              if (atResume) {
                device.resume(little);
              } else {
                device.suspend(little);
              }
            });
    assertTrue(e.getMessage().contains(transport.busName()), e.getMessage());
    assertEquals(State.BROKEN, device.state());
    transport.run();
    assertEquals(FaultReason.DEVICE_SILENT, driver.faults.getFirst().reason());
    transport.refuseSuspension(false);
    recovers();
  }

  private void recovers() throws IOException {
    device.recover(SOON);
    assertEquals(State.LIVE, device.state());
    send("again");
    answer(1);
    assertTrue(driver.done.contains("again"));
    transport.notifyConfigurationChange();
    assertEquals("changed", type.events.getLast());
    device.suspend(SOON);
    device.resume(SOON);
  }

  @Test
  void oneThatNeedsAResetIsBroken() throws IOException {
    start();
    device.suspend(SOON);
    transport.needReset();
    assertEquals(State.BROKEN, device.state());
    assertFalse(type.events.contains("changed"));
    recovers();
  }

  @Test
  void oneThatNeedsAResetWhenAskedIsBroken() throws IOException {
    start();
    transport.refuseSuspension(true);
    int[] reads = {0};
    transport.before(
        "status",
        () -> {
          if (reads[0]++ == 3) {
            transport.needReset();
          }
        });
    assertThrows(IOException.class, () -> device.suspend(SOON));
    assertEquals(State.BROKEN, device.state());
    transport.before("status", null);
    transport.refuseSuspension(false);
    recovers();
  }

  @Test
  void configurationChangesAreToldAtTheEnd() throws IOException {
    start();
    device.suspend(SOON);
    transport.changeConfig(new byte[80]);
    assertFalse(type.events.contains("changed"));
    device.resume(SOON);
    assertEquals(List.of("changed"), type.events);
  }

  @Test
  void onlyWhatWasNegotiatedAndIsLiveIsSuspended() throws IOException {
    assertThrows(IllegalStateException.class, () -> device.suspend(SOON));
    transport.carry(FeatureBits.NONE);
    start();
    assertFalse(device.hasFeature(VIRTIO_F_SUSPEND), "not carried");
    assertThrows(IllegalStateException.class, () -> device.suspend(SOON));
    assertThrows(IllegalStateException.class, () -> device.resume(SOON));
    assertEquals(List.of(), transport.calls());
    assertEquals(State.LIVE, device.state());
  }

  @Test
  void itCanBeStoppedLostAndStartedAnew() throws IOException {
    start();
    device.suspend(SOON);
    send("a");
    assertThrows(IllegalStateException.class, device::freeze);
    device.stop();
    assertEquals(List.of("a"), driver.failed);
    device.start(type);
    driver = type.last;
    device.suspend(SOON);
    transport.reconnects(true).lose(new IOException("gone"));
    assertEquals(State.LOST, device.state());
    assertThrows(IllegalStateException.class, () -> device.resume(SOON));
    recovers();
  }

  @Test
  void aLyingDeviceIsBrokenMeanwhile() throws IOException {
    start();
    send("a");
    device.suspend(SOON);
    transport.device(0).put(77, 0);
    transport.device(0).publish();
    transport.run();
    assertEquals(State.BROKEN, device.state());
    recovers();
  }

  @Test
  void oneWhoseTransportFailsIsBroken() throws IOException {
    start();
    transport.before(
        "writeStatus",
        () -> {
          throw new IllegalStateException("a bug");
        });
    assertThrows(IllegalStateException.class, () -> device.suspend(SOON));
    transport.before("writeStatus", null);
    assertEquals(State.BROKEN, device.state());
    recovers();
  }

  @Test
  void oneThatIsResumedByHalfIsBroken() throws IOException {
    CountDownLatch busy = new CountDownLatch(1);
    try (ThreadOwner owner = new ThreadOwner("resumed")) {
      device.start(new TestDriverType("test", owner));
      device.suspend(SOON);
      transport.before(
          "writeStatus",
          () -> {
            owner.execute(() -> await(busy));
            Thread.currentThread().interrupt();
          });
      assertThrows(IOException.class, () -> device.resume(SOON));
      assertTrue(Thread.interrupted());
      assertEquals(State.BROKEN, device.state());
      busy.countDown();
      transport.before("writeStatus", null);
      device.recover(SOON);
      assertEquals(State.LIVE, device.state());
      device.close();
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(10, TimeUnit.SECONDS));
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }
}
