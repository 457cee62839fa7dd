// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_VERSION_1;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_FLUSH;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_RO;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.NegotiationException;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What happens to a device after its start: reset, loss, recovery, freezing, removal. */
class DriverLifeTest {
  private static final Duration SOON = Duration.ofSeconds(10);

  private final ScriptedTransport transport =
      new ScriptedTransport(DeviceType.BLOCK.id())
          .offer(FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO));
  private final TestDriverType type =
      new TestDriverType("test", transport.owner()).understands(VIRTIO_BLK_F_FLUSH);
  private final DriverDevice device =
      new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);
  private final List<String> states = new ArrayList<>();
  private TestDriverType.TestDriver driver;

  @AfterEach
  void close() {
    device.close();
    assertTrue(transport.isClosed());
    assertEquals(State.REMOVED, device.state());
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

  private void works() throws IOException {
    assertEquals(State.LIVE, device.state());
    assertNull(device.failure());
    send("again");
    assertTrue(driver.queue.inFlight() > 0);
    driver.inFlight.clear();
  }

  @Test
  @Requirement(
      section = "Device Cleanup",
      text =
          "Thus a driver MUST ensure a virtqueue isn't live (by device reset) before removing"
              + " exposed buffers.")
  void stopResetsBeforeTheQueuesGo() throws IOException {
    start();
    send("a");
    device.stop();
    assertEquals(List.of("reset", "deleteQueues"), transport.calls());
    assertEquals(List.of("a"), driver.failed);
    assertEquals(State.NEW, device.state());
    assertNull(device.driver());
    assertNull(device.type());
    device.stop();
    device.start(type);
    assertEquals(State.LIVE, device.state());
  }

  @Test
  void queuesCannotBeDeletedUnderALiveDevice() throws IOException {
    start();
    assertThrows(IllegalStateException.class, device::deleteQueues);
    assertFalse(transport.calls().contains("deleteQueues"));
  }

  @Test
  void whatADriverLeavesIsCleanedUp() throws IOException {
    start();
    type.in(
        "remove",
        d -> {
          throw new IOException("a bug");
        });
    device.stop();
    assertEquals(List.of("reset", "deleteQueues"), transport.calls());
    assertEquals(State.NEW, device.state());
  }

  @Test
  void aDeviceThatNeedsAResetFailsWhatIsPendingAndRecovers() throws IOException {
    start();
    send("a");
    transport.needReset();
    assertEquals(State.BROKEN, device.state());
    assertTrue(device.failure().getMessage().contains("DEVICE_NEEDS_RESET"));
    assertThrows(PeerFault.class, () -> driver.send("b"));
    transport.run();
    assertEquals(List.of("a", "b"), driver.failed);
    assertEquals(FaultReason.DEVICE_NEEDS_RESET, driver.faults.getFirst().reason());
    assertEquals(List.of(), type.events, "no configuration change");

    device.recover(SOON);
    assertEquals(
        List.of("freeze", "restore", "changed"),
        type.events,
        "the notification may have meant the fields as well");
    assertEquals(
        List.of("LIVE BROKEN", "BROKEN STARTING", "STARTING NEGOTIATED", "NEGOTIATED LIVE"),
        states);
    assertFalse(transport.calls().contains("reconnect"));
    works();
  }

  @Test
  void aDeviceThatLiesBreaksOneQueueAndRecovers() throws IOException {
    start();
    send("a");
    driver.queue.breakQueue(new PeerFault(FaultReason.USED_IDX_JUMP, 7));
    transport.run();
    assertEquals(State.BROKEN, device.state());
    assertTrue(device.failure().getCause() instanceof PeerFault);
    assertEquals(List.of("a"), driver.failed);
    device.recover(SOON);
    works();
  }

  @Test
  void aLostDeviceIsFoundAgainWithTheSameFeatures() throws IOException {
    start();
    send("a");
    IOException gone = new IOException("gone");
    transport.lose(gone);
    assertEquals(State.LOST, device.state());
    assertSame(gone, device.failure());
    transport.run();
    assertEquals(List.of("a"), driver.failed);

    assertThrows(IOException.class, () -> device.recover(SOON));
    assertEquals(State.LOST, device.state(), "it can be tried again");
    transport.clearCalls();
    transport.reconnects(true);
    device.recover(SOON);
    assertEquals(List.of("freeze", "restore"), type.events, "frozen once");
    assertEquals("reconnect", transport.calls().getFirst());
    assertEquals("reset", transport.calls().get(1));
    works();
    device.recover(SOON);
    works();
  }

  @Test
  void aDeviceThatComesBackWithLessIsRefused() throws IOException {
    start();
    transport.lose(new IOException("gone"));
    transport.reconnects(true).offer(FeatureBits.of(VIRTIO_F_VERSION_1));
    NegotiationException e = assertThrows(NegotiationException.class, () -> device.recover(SOON));
    assertTrue(e.getMessage().contains("VIRTIO_BLK_F_FLUSH"), e.getMessage());
    assertEquals(State.FAILED, device.state());
    transport.offer(FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_BLK_F_FLUSH));
    device.recover(SOON);
    works();
  }

  @Test
  void aDriverThatCannotRestoreCanTryAgain() throws IOException {
    start();
    device.freeze();
    type.in(
        "restore",
        d -> {
          throw new IOException("not yet");
        });
    assertThrows(IOException.class, device::restore);
    assertEquals(State.FAILED, device.state());
    assertEquals("not yet", device.failure().getMessage());
    assertNull(transport.queue(0), "its queues are gone");
    type.in("restore", null);
    type.events.clear();
    device.recover(SOON);
    assertEquals(List.of("restore"), type.events, "it was frozen still");
    works();
  }

  @Test
  void whenTheLastStepFailsTheDriverLetsGoAgain() throws IOException {
    start();
    device.freeze();
    type.events.clear();
    type.in("restore", d -> transport.fail("writeStatus", new IOException("no")));
    assertThrows(IOException.class, device::restore);
    assertEquals(List.of("restore", "freeze"), type.events);
    assertEquals(State.FAILED, device.state());
    assertNull(transport.queue(0));
    type.in("restore", null);
    transport.fail("writeStatus", null);
    device.recover(SOON);
    works();
  }

  @Test
  void theFirstFailureIsTheOneThatIsTold() throws IOException {
    start();
    device.freeze();
    IOException first = new IOException("no");
    type.in("restore", d -> transport.fail("writeStatus", first))
        .in(
            "freeze",
            d -> {
              throw new IOException("busy");
            });
    assertSame(first, assertThrows(IOException.class, device::restore));
    assertEquals("busy", first.getSuppressed()[0].getMessage());
    assertEquals(State.FAILED, device.state());
    assertNull(transport.queue(0), "queues go even then");
  }

  @Test
  void queuesThatBreakByAResetAreNoFault() throws IOException {
    start();
    type.in(
        "freeze",
        d -> {
          d.reset();
          transport.run();
        });
    device.freeze();
    assertEquals(1, driver.faults.size());
    assertEquals(List.of("LIVE FROZEN"), states);
  }

  @Test
  void aDeviceThatIsLostWhileItIsFoundAgainIsLost() throws IOException {
    start();
    transport.lose(new IOException("first"));
    transport.reconnects(true);
    transport.before("deviceFeatures", () -> transport.lose(new IOException("second")));
    assertThrows(IOException.class, () -> device.recover(SOON));
    assertEquals(State.LOST, device.state());
    assertEquals("second", device.failure().getMessage());
    transport.before("deviceFeatures", null);
    device.recover(SOON);
    works();
  }

  @Test
  void aDeviceThatDoesNotAnswerAResetIsLost() throws IOException {
    start();
    send("a");
    transport.fail("reset", new IOException("silence"));
    device.stop();
    assertEquals(State.LOST, device.state());
    assertEquals("silence", device.failure().getMessage());
    assertEquals(List.of("a"), driver.failed);
    assertNull(device.driver());
    assertThrows(IllegalStateException.class, () -> device.start(type));
    transport.fail("reset", null);
    transport.reconnects(true);
    device.recover(SOON);
    assertEquals(State.NEW, device.state());
    device.start(type);
  }

  @Test
  void freezeAndRestore() throws IOException {
    start();
    send("a");
    device.freeze();
    assertEquals(State.FROZEN, device.state());
    assertEquals(0, transport.currentStatus());
    assertNull(transport.queue(0));
    assertThrows(IllegalStateException.class, device::freeze);
    assertThrows(IllegalStateException.class, () -> device.recover(SOON));
    device.restore();
    assertEquals(List.of("freeze", "restore"), type.events, "neither probe nor scan");
    assertEquals(
        FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_BLK_F_FLUSH), transport.acceptedFeatures());
    works();
  }

  @Test
  void aDriverThatCannotFreezeGoesOn() throws IOException {
    start();
    type.in(
        "freeze",
        d -> {
          throw new IOException("busy");
        });
    assertThrows(IOException.class, device::freeze);
    works();
    transport.notifyConfigurationChange();
    assertEquals(List.of("freeze", "changed"), type.events);
  }

  @Test
  void aDriverThatFailsToFreezeAfterTheResetHasFailed() throws IOException {
    start();
    type.in(
        "freeze",
        d -> {
          d.reset();
          throw new IOException("too late");
        });
    assertThrows(IOException.class, device::freeze);
    assertEquals(State.FAILED, device.state());
    assertNull(transport.queue(0));
    device.recover(SOON);
    works();
  }

  @Test
  void closeTakesTheDriverAwayAndResets() throws IOException {
    start();
    send("a");
    device.close();
    assertEquals(List.of("remove"), type.events);
    assertEquals(List.of("a"), driver.failed);
    assertEquals(List.of("reset", "deleteQueues", "close"), transport.calls());
    assertEquals(List.of("LIVE REMOVED"), states);
    transport.lose(new IOException("late"));
    transport.notifyConfigurationChange();
    assertEquals(State.REMOVED, device.state());
  }

  @Test
  void anInterruptedThreadCanCloseADevice() throws IOException {
    start();
    Thread.currentThread().interrupt();
    device.close();
    assertTrue(Thread.interrupted());
    assertEquals(List.of("remove"), type.events);
  }

  @Test
  void aDriverMayCloseItsOwnDevice() throws IOException {
    type.in("changed", DriverDevice::close);
    start();
    transport.notifyConfigurationChange();
    assertEquals(List.of("changed", "remove"), type.events);
  }
}
