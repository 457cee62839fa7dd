// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The scripted transport does what the test says. */
class ScriptedTransportTest {
  private static final int NEGOTIATED =
      DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK;

  private final ScriptedTransport transport = new ScriptedTransport(4);
  private final List<String> told = new ArrayList<>();
  private final List<Object> got = new ArrayList<>();

  private final TransportListener listener =
      new TransportListener() {
        @Override
        public void configurationChanged() {
          told.add("configurationChanged");
        }

        @Override
        public void queueBroken(int queue, PeerFault fault) {
          told.add("queueBroken " + queue + " " + fault.reason());
        }

        @Override
        public void lost(IOException reason) {
          told.add("lost " + reason.getMessage());
        }
      };

  private QueueRequest request(int maxSize) {
    return new QueueRequest(
        "test",
        maxSize,
        4,
        queue -> {
          for (Object token = queue.get(); token != null; token = queue.get()) {
            got.add(token);
          }
        },
        transport.owner());
  }

  private void submit(DriverQueue queue, Object token) throws IOException, PeerFault {
    DriverBuffer buffer = new DriverBuffer(transport.memory(), 1);
    assertTrue(queue.add(buffer.writable(transport.memory().allocate(16, 16)), token));
    queue.kick();
  }

  @Test
  void callsAreWrittenDownInOrder() throws IOException {
    transport.reset();
    transport.writeStatus(DeviceStatus.ACKNOWLEDGE);
    FeatureBits offered = transport.deviceFeatures();
    transport.writeDriverFeatures(offered);
    transport.status();
    transport.configGeneration();
    transport.queueMaxSize(0);
    transport.findQueues(Arrays.asList(null, null));
    assertEquals(
        List.of(
            "reset",
            "writeStatus ACKNOWLEDGE",
            "deviceFeatures",
            "writeDriverFeatures " + offered,
            "status",
            "configGeneration",
            "queueMaxSize 0",
            "findQueues 2"),
        transport.calls());
    transport.clearCalls();
    assertEquals(List.of(), transport.calls());
    transport.close();
    transport.close();
    assertTrue(transport.isClosed());
  }

  @Test
  void featuresAreAgreedOrRefused() throws IOException {
    transport.offer(FeatureBits.of(3, ReservedFeatures.VIRTIO_F_VERSION_1));
    transport.writeDriverFeatures(FeatureBits.of(3));
    transport.writeStatus(NEGOTIATED);
    assertEquals(NEGOTIATED, transport.status());
    transport.reset();
    assertEquals(0, transport.currentStatus());
    assertEquals(FeatureBits.NONE, transport.acceptedFeatures());
    transport.writeDriverFeatures(FeatureBits.of(5));
    transport.writeStatus(NEGOTIATED);
    assertEquals(NEGOTIATED & ~DeviceStatus.FEATURES_OK, transport.status(), "not offered");
    transport.reset();
    transport.refuseFeatures(true);
    transport.writeStatus(NEGOTIATED);
    assertEquals(NEGOTIATED & ~DeviceStatus.FEATURES_OK, transport.status());
    transport.setListener(listener);
    transport.needReset();
    assertTrue((transport.status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
    assertEquals(List.of("configurationChanged"), told);
    assertThrows(IllegalArgumentException.class, () -> transport.writeStatus(0));
    transport.close();
  }

  @Test
  void callsFailWhenTheTestSaysSo() throws IOException {
    IOException silent = new IOException("reset never completes");
    transport.fail("reset", silent);
    assertSame(silent, assertThrows(IOException.class, transport::reset));
    transport.status();
    transport.fail("reset", null);
    transport.reset();
    transport.failAfter(2);
    transport.status();
    transport.configSize();
    for (int i = 0; i < 3; i++) {
      assertThrows(IOException.class, transport::status);
    }
    transport.close();
  }

  @Test
  void theConfigurationChangesBetweenReads() throws IOException {
    transport.config(new byte[] {1, 2, 3, 4});
    int before = transport.configGeneration();
    byte[] two = new byte[2];
    transport.readConfig(2, two);
    assertArrayEquals(new byte[] {3, 4}, two);
    assertEquals(before, transport.configGeneration());
    transport.before(
        "readConfig", () -> transport.before("readConfig", null).config(new byte[] {5, 6, 7, 8}));
    transport.readConfig(0, two);
    assertArrayEquals(new byte[] {5, 6}, two);
    assertEquals(before + 1, transport.configGeneration());
    transport.writeConfig(3, new byte[] {9});
    assertArrayEquals(new byte[] {5, 6, 7, 9}, transport.config());
    assertThrows(IOException.class, () -> transport.readConfig(3, two));
    assertThrows(IOException.class, () -> transport.writeConfig(-1, two));
    transport.setListener(listener);
    transport.changeConfig(new byte[0]);
    assertEquals(0, transport.configSize());
    assertEquals(List.of("configurationChanged"), told);
    assertEquals(-1, transport.legacy(ByteOrder.LITTLE_ENDIAN).configGeneration());
    transport.close();
  }

  @Test
  void queuesWorkOverTheTransport() throws IOException, PeerFault {
    transport.queues(64, 0, 100);
    assertEquals(3, transport.queueCount());
    assertEquals(0, transport.queueMaxSize(1));
    assertEquals(0, transport.queueMaxSize(7));
    transport.writeDriverFeatures(transport.deviceFeatures());
    assertThrows(IOException.class, () -> transport.findQueues(List.of(request(0), request(0))));
    assertEquals(0, transport.memory().allocated(), "none was made");
    List<DriverQueue> queues = transport.findQueues(Arrays.asList(request(16), null, request(0)));
    assertThrows(IllegalStateException.class, () -> transport.findQueues(List.of()));
    assertEquals(16, queues.get(0).size());
    assertNull(queues.get(1));
    assertEquals(64, queues.get(2).size(), "a power of two");
    assertSame(queues.get(0), transport.queue(0));
    submit(queues.get(0), "a");
    assertEquals(1, transport.notifications(0));
    assertEquals(0, transport.notifications(2));
    transport.device(0).use(transport.device(0).take(), 3);
    transport.run();
    assertEquals(List.of("a"), got);
    transport.onNotify(queue -> transport.device(queue).use(transport.device(queue).take(), 0));
    submit(queues.get(2), "b");
    transport.run();
    assertEquals(List.of("a", "b"), got);
    transport.close();
  }

  @Test
  void oneQueueIsResetAndEnabledAgain() throws IOException, PeerFault {
    transport.offer(
        FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1, ReservedFeatures.VIRTIO_F_RING_RESET));
    DriverQueue queue = transport.findQueues(List.of(request(0))).getFirst();
    assertThrows(IOException.class, () -> transport.resetQueue(0), "not negotiated");
    transport.deleteQueues();
    transport.writeDriverFeatures(transport.deviceFeatures());
    queue = transport.findQueues(List.of(request(0))).getFirst();
    submit(queue, "lost");
    ScriptedDevice device = transport.device(0);
    transport.resetQueue(0);
    assertNull(transport.device(0));
    assertEquals("lost", queue.detachUnused());
    transport.enableQueue(0, 8);
    assertNotSame(device, transport.device(0));
    assertEquals(8, queue.size());
    submit(queue, "a");
    transport.device(0).use(transport.device(0).take(), 0);
    transport.run();
    assertEquals(List.of("a"), got);
    transport.close();
  }

  @Test
  void legacyQueuesHaveTheSizeAndTheOrderOfTheDevice() throws IOException, PeerFault {
    transport.legacy(ByteOrder.BIG_ENDIAN).queues(128);
    assertTrue(transport.isLegacy());
    assertTrue(transport.isBigEndian());
    assertFalse(transport.deviceFeatures().has(ReservedFeatures.VIRTIO_F_VERSION_1));
    DriverQueue queue = transport.findQueues(List.of(request(16))).getFirst();
    assertEquals(128, queue.size());
    submit(queue, "a");
    transport.device(0).use(transport.device(0).take(), 5);
    transport.run();
    assertEquals(List.of("a"), got);
    transport.close();
  }

  @Test
  void aLostDeviceBreaksItsQueuesUntilItIsFoundAgain() throws IOException, PeerFault {
    transport.setListener(listener);
    DriverQueue queue = transport.findQueues(List.of(request(0))).getFirst();
    submit(queue, "in flight");
    transport.lose(new IOException("hung up"));
    transport.run();
    assertEquals(List.of("lost hung up", "queueBroken 0 DEVICE_GONE"), told);
    assertEquals(FaultReason.DEVICE_GONE, queue.fault().reason());
    assertThrows(IOException.class, transport::status);
    assertFalse(transport.canReconnect());
    assertThrows(IOException.class, () -> transport.reconnect(Duration.ofSeconds(1)));
    transport.reconnects(true);
    assertThrows(IllegalStateException.class, () -> transport.reconnect(Duration.ofSeconds(1)));
    transport.deleteQueues();
    transport.reconnect(Duration.ofSeconds(1));
    assertEquals(0, transport.status());
    queue = transport.findQueues(List.of(request(0))).getFirst();
    transport.fail("notify", new IOException("broken pipe"));
    DriverQueue again = queue;
    submit(again, "a");
    assertTrue(again.isBroken());
    transport.close();
  }

  @Test
  void aResetBreaksTheQueues() throws IOException {
    DriverQueue queue = transport.findQueues(List.of(request(0))).getFirst();
    transport.reset();
    assertTrue(queue.isBroken());
    transport.deleteQueues();
    assertEquals(0, transport.memory().allocated());
    transport.close();
  }
}
