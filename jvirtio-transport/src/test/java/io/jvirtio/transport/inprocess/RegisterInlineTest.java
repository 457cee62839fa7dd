// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Our driver on our device through registers, on the calling thread: all is deterministic. */
class RegisterInlineTest {
  private static final FeatureBits PACKED = FeatureBits.of(ReservedFeatures.VIRTIO_F_RING_PACKED);

  static List<RegisterKind> all() {
    return RegisterKind.all();
  }

  static List<RegisterKind> modern() {
    return RegisterKind.modern();
  }

  static List<RegisterKind> legacy() {
    return RegisterKind.legacy();
  }

  @ParameterizedTest
  @MethodSource("all")
  void buffersComeBack(RegisterKind kind) throws IOException {
    try (RegisterBench bench = RegisterBench.inline(kind, 3)) {
      assertEquals(kind.isLegacy(), bench.transport.isLegacy());
      assertEquals(kind.bigEndian(), bench.transport.isBigEndian());
      assertEquals(3, bench.transport.queueCount());
      assertEquals(RegisterBench.DEVICE_ID, bench.transport.deviceId());
      assertEquals(0x1af4, bench.transport.vendorId());
      for (FeatureBits without : List.of(FeatureBits.NONE, PACKED, FeatureBits.NONE)) {
        bench.startWithout(20, without);
        bench.sendAndAwait(5_000);
        bench.transport.reset();
        bench.transport.deleteQueues();
      }
      assertEquals(0, bench.pair.counters().ignoredNotifications());
      assertEquals(0, bench.pair.counters().ignoredWrites());
      assertEquals(0, bench.pair.counters().ignoredReads());
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void theConfigurationIsReadAndWritten(RegisterKind kind) throws IOException {
    ByteOrder order = kind.bigEndian() ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.start(1);
      bench.device.config().set("capacity", 0x0102030405060708L).set("mode", 0x0a0b);
      byte[] all = new byte[13];
      assertTrue(bench.transport.configSize() >= all.length);
      bench.transport.readConfig(0, all);
      ByteBuffer buffer = ByteBuffer.wrap(all).order(order);
      assertEquals(0x0102030405060708L, buffer.getLong(0));
      assertEquals(0x0a0b, buffer.getShort(8));
      byte[] capacity = new byte[8];
      bench.transport.readConfig(0, capacity);
      assertArrayEquals(Arrays.copyOf(all, 8), capacity);
      byte[] mode = ByteBuffer.allocate(2).order(order).putShort((short) 0x1234).array();
      bench.transport.writeConfig(8, mode);
      assertEquals(0x1234, bench.device.mode);
      int size = bench.transport.configSize();
      assertThrows(IOException.class, () -> bench.transport.readConfig(size - 1, new byte[2]));
      assertThrows(IOException.class, () -> bench.transport.readConfig(-1, new byte[2]));
      assertThrows(IOException.class, () -> bench.transport.writeConfig(size, new byte[1]));
      assertEquals(List.of(), bench.recorder.lost);
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void aConfigurationChangeIsToldToALiveDriver(RegisterKind kind) throws IOException {
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.start(1);
      int before = bench.transport.configGeneration();
      for (int i = 1; i <= 3; i++) {
        int capacity = i;
        bench.device.config().change(() -> bench.device.config().set("capacity", capacity));
        assertEquals(i, bench.recorder.changes.get());
      }
      if (kind.isLegacy()) {
        assertEquals(-1, bench.transport.configGeneration());
      } else {
        assertNotEquals(before, bench.transport.configGeneration());
      }
      bench.sendAndAwait(100);
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void aResetEndsWhatTheDeviceHasInItsHands(RegisterKind kind) throws IOException {
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.start(8);
      bench.device.hold(5);
      bench.send(8);
      ((InlineOwner) bench.owner).runUntil(() -> bench.device.held.get() == 8, EchoBench.DEADLINE);
      bench.transport.reset();
      assertEquals(0, bench.device.held.get());
      assertEquals(0, bench.transport.status());
      assertTrue(bench.queue().isBroken());
      ((InlineOwner) bench.owner).runUntilIdle();
      assertEquals(FaultReason.DEVICE_NEEDS_RESET, bench.driver().broken.reason());
      assertEquals(8, bench.driver().detach(bench.queue()));
      bench.transport.deleteQueues();
      bench.start(8);
      bench.sendAndAwait(100);
    }
  }

  @ParameterizedTest
  @MethodSource("modern")
  void aQueueIsResetAndResized(RegisterKind kind) throws IOException, PeerFault {
    try (RegisterBench bench = RegisterBench.inline(kind, 2)) {
      bench.start(32);
      bench.sendAndAwait(100);
      for (int size : new int[] {8, 64, 4}) {
        bench.transport.resetQueue(0);
        assertThrows(IllegalArgumentException.class, () -> bench.transport.enableQueue(0, 128));
        assertThrows(IllegalArgumentException.class, () -> bench.transport.enableQueue(0, 0));
        bench.transport.enableQueue(0, size);
        assertEquals(size, bench.queue().size());
        assertEquals(EchoDevice.MAX_SIZE, bench.transport.queueMaxSize(0));
        bench.sendAndAwait(1000);
        assertThrows(IllegalStateException.class, () -> bench.transport.enableQueue(0, 8));
      }
      assertThrows(IOException.class, () -> bench.transport.resetQueue(2));
      assertThrows(IOException.class, () -> bench.transport.setOwner(2, bench.owner));
      assertEquals(List.of(), bench.recorder.lost);
    }
  }

  @ParameterizedTest
  @MethodSource("legacy")
  void theQueueIsInOnePieceOfTheDevicesSize(RegisterKind kind) throws IOException {
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.transport.reset();
      EchoDriver.negotiate(bench.transport);
      QueueRequest small = new QueueRequest("small", 4, 1, null, bench.owner);
      QueueLayout layout = bench.transport.findQueues(List.of(small)).getFirst().layout();
      assertEquals(EchoDevice.MAX_SIZE, layout.size());
      assertEquals(0, layout.descriptorArea() % 4096);
      assertThrows(IOException.class, () -> bench.transport.resetQueue(0));
      assertThrows(
          IllegalArgumentException.class,
          () ->
              bench.transport.writeDriverFeatures(
                  FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1)));
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void aFaultNeedsAReset(RegisterKind kind) throws IOException {
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.start(4);
      bench.sendAndAwait(10);
      bench.device.fault();
      bench.send(4);
      ((InlineOwner) bench.owner).runUntilIdle();
      assertTrue((bench.transport.status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
      assertTrue(bench.recorder.changes.get() > 0);
      bench.transport.reset();
      bench.transport.deleteQueues();
      bench.start(4).send(1000);
      bench.until("all back", bench.driver()::isDone);
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void aDeviceThatIsPulledOutIsLost(RegisterKind kind) throws IOException {
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.start(4);
      bench.device.hold(3);
      bench.send(4);
      bench.pair.remove().run();
      IOException gone = assertThrows(IOException.class, bench.transport::status);
      assertTrue(gone.getMessage().contains("all ones"), gone.getMessage());
      assertEquals(1, bench.recorder.lost.size());
      assertThrows(IOException.class, bench.transport::reset);
      assertThrows(IOException.class, () -> bench.transport.readConfig(0, new byte[1]));
      assertThrows(IOException.class, () -> bench.transport.writeStatus(1));
      ((InlineOwner) bench.owner).runUntilIdle();
      assertEquals(FaultReason.DEVICE_GONE, bench.driver().broken.reason());
      bench.transport.deleteQueues();
      assertThrows(IOException.class, () -> bench.transport.reconnect(EchoBench.DEADLINE));
      assertEquals(1, bench.recorder.lost.size());
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void findQueuesTakesAllOrNone(RegisterKind kind) throws IOException {
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.transport.reset();
      EchoDriver.negotiate(bench.transport);
      QueueRequest wanted = new EchoDriver(bench.transport, 1).request(bench.owner);
      long before = bench.transport.memory().allocated();
      assertThrows(IOException.class, () -> bench.transport.findQueues(List.of(wanted, wanted)));
      assertEquals(before, bench.transport.memory().allocated());
      assertEquals(0, bench.transport.queueMaxSize(1));
      assertEquals(EchoDevice.MAX_SIZE, bench.transport.queueMaxSize(0));
      assertEquals(
          Arrays.asList((DriverQueue) null),
          bench.transport.findQueues(Arrays.asList((QueueRequest) null)));
      bench.transport.deleteQueues();
      DriverQueue queue = bench.transport.findQueues(List.of(wanted)).getFirst();
      assertThrows(IllegalStateException.class, () -> bench.transport.findQueues(List.of(wanted)));
      bench.transport.deleteQueues();
      // The device still has it.
      assertTrue(queue.isBroken());
      assertTrue(bench.transport.memory().allocated() > before);
      bench.transport.reset();
      assertEquals(before, bench.transport.memory().allocated());
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void nothingWorksOnceClosed(RegisterKind kind) throws IOException {
    RegisterBench bench = RegisterBench.inline(kind).start(4);
    DriverMemory memory = bench.transport.memory();
    bench.device.hold(2);
    bench.send(4);
    bench.close();
    bench.close();
    assertEquals(0, bench.device.held.get());
    assertFalse(bench.queue().kick());
    assertThrows(IOException.class, bench.transport::status);
    assertThrows(IOException.class, bench.transport::reset);
    assertThrows(IOException.class, () -> bench.transport.reconnect(EchoBench.DEADLINE));
    assertThrows(IOException.class, () -> bench.transport.readConfig(0, new byte[1]));
    assertThrows(IOException.class, () -> memory.allocate(64 << 20, 1));
    assertEquals(List.of(), bench.recorder.lost);
  }
}
