// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_ORDER_PLATFORM;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_RING_RESET;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_SUSPEND;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Ring features that need the transport, from the driver's device object to the device's host. */
class RingFeaturesTest {
  private static final Duration SOON = Duration.ofSeconds(30);

  private final Loops loops = new Loops();
  private EchoDevice echo;
  private InProcessTransport transport;
  private DriverDevice device;
  private EchoType type;

  @AfterEach
  void close() {
    if (device != null) {
      device.close();
    }
    loops.close();
  }

  private void start(int queues, QueueOwner deviceOwner, QueueOwner owner, FeatureBits features)
      throws IOException {
    echo = new EchoDevice(queues);
    transport =
        new InProcessTransport(
            echo, deviceOwner, InProcessOptions.defaults().withRingFeatures(features));
    device = new DriverDevice(transport);
    type = new EchoType(queues, owner);
    device.start(type);
    assertEquals(features.with(EchoDevice.FEATURE), device.features());
  }

  private void startThreads(int queues, FeatureBits features) throws IOException {
    start(
        queues,
        loops.start("device", LoopMode.EVENT),
        loops.start("driver", LoopMode.EVENT),
        features);
  }

  private static FeatureBits features(RingFormat format, int... more) {
    return format.applyTo(DeviceHost.ringFeatures().or(FeatureBits.of(more)));
  }

  private EchoDriver driver(int queue) {
    return type.drivers.get(queue);
  }

  private DriverQueue queue(int queue) {
    return type.queues.get(queue);
  }

  private void send(int queue, long count) throws IOException {
    DriverQueueSet.onOwner(type.owner(), () -> driver(queue).send(queue(queue), count));
  }

  private void awaitAll(int queue) {
    EchoDriver driver = driver(queue);
    EchoBench.await("queue " + queue, type.owner(), driver::isDone);
    assertNull(driver.mismatch);
    assertNull(driver.broken);
  }

  @ParameterizedTest
  @EnumSource
  void aDeviceIsSuspendedUnderLoad(RingFormat format) throws IOException {
    startThreads(2, features(format, VIRTIO_F_SUSPEND));
    for (int i = 0; i < 60; i++) {
      send(0, 500);
      send(1, 100);
      device.suspend(SOON);
      assertEquals(State.SUSPENDED, device.state());
      assertTrue((transport.status() & DeviceStatus.SUSPEND) != 0);
      // What is made available now is not, and what was used is the driver's business.
      long[] chains = chains();
      send(0, 3);
      transport.synchronizeCallbacks();
      assertEquals(0, echo.held.get());
      assertEquals(Arrays.toString(chains), Arrays.toString(chains()));
      device.resume(SOON);
      assertEquals(State.LIVE, device.state());
    }
    awaitAll(0);
    awaitAll(1);
    assertEquals(0, transport.host().faults());
    device.suspend(SOON);
    // Memory that grows, and the device's end, in the midst of it.
    transport.memory().allocate(8 << 20, 64);
    device.resume(SOON);
    send(0, 100);
    awaitAll(0);
    device.suspend(SOON);
    device.stop();
    assertEquals(0, transport.status());
    device.start(type);
    send(1, 1000);
    awaitAll(1);
  }

  private long[] chains() {
    try {
      return new long[] {
        transport.host().counters(0).chains(), transport.host().counters(1).chains()
      };
    } catch (PeerFault impossible) {
      throw new AssertionError(impossible);
    }
  }

  @Test
  void whatTheDeviceHoldsIsUsedBeforeItIsSuspended() throws IOException {
    InlineOwner owner = new InlineOwner();
    start(1, owner, owner, features(RingFormat.PACKED, VIRTIO_F_SUSPEND));
    echo.hold(5);
    send(0, 8);
    owner.runUntil(() -> echo.held.get() == 8, EchoBench.DEADLINE);
    assertEquals(8, echo.held.get());
    device.suspend(SOON);
    assertEquals(0, echo.held.get());
    byte[] mode = {9, 9};
    transport.writeConfig(8, mode);
    assertEquals(-1, echo.mode);
    assertThrows(IllegalStateException.class, () -> device.resetQueue(0, token -> {}));
    device.resume(SOON);
    transport.writeConfig(8, mode);
    assertEquals(0x0909, echo.mode);
    owner.runUntilIdle();
    awaitAll(0);
  }

  @Test
  void aSuspendedDeviceKeepsTheMemoryOfItsQueues() throws IOException {
    InlineOwner owner = new InlineOwner();
    start(1, owner, owner, features(RingFormat.SPLIT, VIRTIO_F_SUSPEND));
    device.suspend(SOON);
    // Against the rules: without a reset. The memory is not used again, so a resumed device works.
    transport.deleteQueues();
    transport.writeStatus(transport.status() | DeviceStatus.DRIVER_OK);
    owner.runUntilIdle();
    assertEquals(0, transport.host().faults());
  }

  @ParameterizedTest
  @CsvSource({"SPLIT, false", "SPLIT, true", "PACKED, false", "PACKED, true"})
  void notificationsTellWhereTheNextBufferComes(RingFormat format, boolean configData)
      throws IOException, PeerFault {
    FeatureBits features = features(format, VIRTIO_F_NOTIFICATION_DATA);
    startThreads(2, configData ? features.with(VIRTIO_F_NOTIF_CONFIG_DATA) : features);
    assertEquals(configData ? EchoDevice.configData(1) : 1, transport.notificationId(1));
    send(0, 30_000);
    awaitAll(0);
    long start = System.nanoTime();
    do { // a device that happens to look needs no notification
      assertTrue(System.nanoTime() - start < 10_000_000_000L, "no buffer is notified of");
      send(1, 1);
      awaitAll(1);
    } while (transport.host().notificationData(1) == -1);
    assertEquals(
        queue(1).notificationData() >>> 16, transport.host().notificationData(1), "one buffer");
    assertNotEquals(-1, transport.host().notificationData(0));
    assertEquals(0, transport.host().faults());
    // A hostile driver: whatever it writes, it only wakes or does not.
    for (int i = 0; i < 10_000; i++) {
      transport.doorbell().write(i * 0x9e37_79b9);
    }
    assertTrue(transport.host().faults() > 0);
    assertEquals(0, transport.status() & DeviceStatus.DEVICE_NEEDS_RESET);
    send(0, 1000);
    send(1, 1000);
    awaitAll(0);
    awaitAll(1);
  }

  @ParameterizedTest
  @EnumSource
  void theDeviceChoosesWhatNamesAQueue(RingFormat format) throws IOException {
    startThreads(3, features(format, VIRTIO_F_NOTIF_CONFIG_DATA));
    for (int i = 0; i < 3; i++) {
      assertEquals(EchoDevice.configData(i), transport.notificationId(i));
      send(i, 5000);
    }
    for (int i = 0; i < 3; i++) {
      awaitAll(i);
    }
    assertThrows(IOException.class, () -> transport.notificationId(3));
    assertEquals(0, transport.host().faults());
    transport.doorbell().write(1);
    assertEquals(1, transport.host().faults());
  }

  @ParameterizedTest
  @EnumSource
  void addressesAndOrderOfThePlatform(RingFormat format) throws IOException {
    startThreads(1, features(format, VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_ORDER_PLATFORM));
    // No host address is a device address here, so one would be a fault.
    send(0, 50_000);
    awaitAll(0);
    assertEquals(0, transport.host().faults());
  }

  @ParameterizedTest
  @EnumSource
  void aQueueIsResetAndResizedWhileTheOthersRun(RingFormat format) throws IOException {
    startThreads(3, features(format));
    send(1, 1_000_000_000);
    send(2, 1_000_000_000);
    int[] sizes =
        format == RingFormat.PACKED
            ? new int[] {64, 3, 33, 8, 5, 7}
            : new int[] {64, 4, 32, 8, 16, 4};
    AtomicInteger unused = new AtomicInteger();
    long before = 0;
    for (int i = 0; i < 60; i++) {
      send(0, 200);
      int size = sizes[i % sizes.length];
      boolean again = i % 3 == 0;
      device.resizeQueue(
          0,
          i % 7 == 6 ? 0 : size,
          token -> {
            unused.incrementAndGet();
            if (again) {
              driver(0).again(queue(0), token);
            } else {
              driver(0).giveUp(token);
            }
          });
      if (i % 7 != 6) {
        assertEquals(size, queue(0).size());
      }
      // The owner goes on by itself where the handler has left off.
      send(0, 100);
      awaitAll(0);
      if (i == 30) {
        before = driver(1).completed + driver(2).completed;
      }
    }
    long then = before;
    EchoBench.await(
        "the others go on", type.owner(), () -> driver(1).completed + driver(2).completed > then);
    for (int i = 0; i < 3; i++) {
      assertNull(driver(i).mismatch);
      assertNull(driver(i).broken);
    }
    assertEquals(State.LIVE, device.state());
    assertEquals(0, transport.host().faults());
  }

  @Test
  void unusedBuffersAreHandedOut() throws IOException {
    InlineOwner owner = new InlineOwner();
    start(1, owner, owner, features(RingFormat.PACKED));
    send(0, 5); // published, and the device has not looked
    int[] unused = {0};
    device.resetQueue(
        0,
        token -> {
          unused[0]++;
          driver(0).again(queue(0), token);
        });
    // Stopping a queue lets the device look no more, so all of them are left.
    assertEquals(5, unused[0]);
    owner.runUntilIdle();
    awaitAll(0);
    assertEquals(5, driver(0).completed);
    assertThrows(IllegalArgumentException.class, () -> device.resizeQueue(0, 65, t -> {}));
    assertThrows(IllegalArgumentException.class, () -> device.resizeQueue(0, -1, t -> {}));
    assertThrows(IllegalArgumentException.class, () -> device.resetQueue(1, t -> {}));
    send(0, 50);
    owner.runUntilIdle();
    awaitAll(0);
  }

  @Test
  void withoutTheFeatureNoQueueIsReset() throws IOException {
    startThreads(1, features(RingFormat.SPLIT).without(VIRTIO_F_RING_RESET));
    assertThrows(IllegalStateException.class, () -> device.resetQueue(0, t -> {}));
    assertFalse(queue(0).isBroken());
    send(0, 100);
    awaitAll(0);
  }

  @Test
  void aSplitQueueHasAPowerOfTwoOfDescriptors() throws IOException {
    startThreads(1, features(RingFormat.SPLIT));
    assertThrows(IllegalArgumentException.class, () -> device.resizeQueue(0, 7, t -> {}));
    send(0, 100);
    awaitAll(0);
  }

  @Test
  void aResetThatFailsBreaksTheDeviceWhichRecovers() throws IOException {
    InlineOwner owner = new InlineOwner();
    start(1, owner, owner, features(RingFormat.PACKED));
    send(0, 4);
    assertThrows(
        IllegalStateException.class,
        () ->
            device.resetQueue(
                0,
                token -> {
                  throw new IllegalStateException("a bug of the driver");
                }));
    assertEquals(State.BROKEN, device.state());
    assertTrue(queue(0).isBroken());
    device.recover(SOON);
    send(0, 100);
    awaitAll(0);
  }
}
