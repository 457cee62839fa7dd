// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Driver and device on the calling thread: everything is deterministic. */
@ParameterizedClass
@EnumSource
class InlineTest {
  private final Bench bench;
  private final InProcessTransport transport;
  private final InlineOwner owner;
  private byte[] witness;

  InlineTest(RingFormat format) {
    bench = Bench.inline(Bench.options(format));
    transport = bench.transport;
    owner = (InlineOwner) bench.owner;
  }

  @AfterEach
  void close() {
    bench.close();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void buffersComeBack(boolean eventIdx) throws IOException {
    FeatureBits features = transport.deviceFeatures().without(EchoDevice.REFUSED_FEATURE);
    bench.start(20, eventIdx ? features : features.without(ReservedFeatures.VIRTIO_F_EVENT_IDX));
    bench.sendAndAwait(300_000);
    assertEquals(0, bench.queue().inFlight());
    assertTrue(bench.queue().counters().callbacks() > 0);
  }

  @Test
  void aSynchronousCallDoesTheDevicesWork() throws IOException {
    bench.start(1);
    bench.send(1);
    assertEquals(0, bench.driver().completed);
    assertTrue(owner.runUntil(bench.driver()::isDone, EchoBench.DEADLINE));
    assertEquals(1, bench.driver().completed);
  }

  @Test
  void aQueueWithoutACallbackIsPolled() throws IOException, PeerFault {
    EchoDriver.negotiate(transport);
    EchoDriver driver = new EchoDriver(transport, 4);
    DriverQueue queue =
        transport.findQueues(List.of(new QueueRequest("polled", 0, 3, null, owner))).getFirst();
    EchoDriver.driverOk(transport);
    driver.send(queue, 3);
    owner.runUntilIdle();
    assertEquals(0, driver.completed);
    driver.take();
    assertEquals(3, driver.completed);
    assertNull(driver.mismatch);
  }

  @Test
  void aBufferAllocatesNothing() throws IOException, ReflectiveOperationException {
    bench.start(16);
    long idle = allocatedBytes();
    witness = new byte[1 << 20];
    assertTrue(allocatedBytes() - idle >= witness.length);
    bench.sendAndAwait(300_000);
    long before = allocatedBytes();
    bench.sendAndAwait(300_000);
    long allocated = allocatedBytes() - before;
    // A class that loads late, or code that is compiled anew, may allocate once, never a buffer.
    assertTrue(allocated < 30_000, allocated + " bytes for 300000 buffers");
  }

  /** By reflection, because the module under test does not read {@code jdk.management}. */
  private static long allocatedBytes() throws ReflectiveOperationException {
    Object bean =
        Class.forName("java.lang.management.ManagementFactory")
            .getMethod("getThreadMXBean")
            .invoke(null);
    Method method =
        Class.forName("com.sun.management.ThreadMXBean")
            .getMethod("getCurrentThreadAllocatedBytes");
    return (long) method.invoke(bean);
  }

  @Test
  void featuresOf128BitsAreNegotiated() throws IOException {
    FeatureBits offered = transport.deviceFeatures();
    assertTrue(offered.has(EchoDevice.HIGH_FEATURE));
    assertTrue(offered.has(ReservedFeatures.VIRTIO_F_VERSION_1));
    EchoDriver.negotiate(
        transport, FeatureBits.of(EchoDevice.HIGH_FEATURE, ReservedFeatures.VIRTIO_F_VERSION_1));
    assertTrue(transport.host().driverFeatures().has(EchoDevice.HIGH_FEATURE));
    transport.reset();
    assertThrows(IOException.class, () -> EchoDriver.negotiate(transport, offered));
    assertThrows(IllegalArgumentException.class, () -> transport.writeStatus(0));
  }

  @Test
  void namesTheDevice() throws IOException {
    InProcessOptions options =
        InProcessOptions.defaults()
            .withName("bus 3")
            .withVendorId(77)
            .withRingFeatures(FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1));
    try (Bench other = Bench.inline(options)) {
      assertEquals("bus 3", other.transport.busName());
      assertEquals(77, other.transport.vendorId());
      assertEquals(42, other.transport.deviceId());
      assertFalse(other.transport.deviceFeatures().has(ReservedFeatures.VIRTIO_F_EVENT_IDX));
      assertFalse(other.transport.isLegacy());
      assertFalse(other.transport.isBigEndian());
      assertNull(other.transport.sharedMemoryRegion(0));
    }
  }

  @Test
  void theConfigurationIsReadAndWritten() throws IOException {
    assertEquals(13, transport.configSize());
    byte[] capacity = new byte[8];
    transport.readConfig(0, capacity);
    assertEquals(0x88, capacity[0] & 0xff);
    assertThrows(IOException.class, () -> transport.readConfig(12, new byte[2]));
    assertThrows(IOException.class, () -> transport.readConfig(-1, new byte[2]));
    transport.writeConfig(8, new byte[] {3, 4});
    assertEquals(0x0403, bench.device.mode);
    assertThrows(IOException.class, () -> transport.writeConfig(0, new byte[8]));
    assertThrows(IOException.class, () -> transport.writeConfig(8, new byte[1]));
  }

  @Test
  void aConfigurationChangeIsToldToALiveDriver() throws IOException {
    int before = transport.configGeneration();
    bench.device.config().change(() -> bench.device.config().set("capacity", 5));
    assertNotEquals(before, transport.configGeneration());
    assertEquals(0, bench.recorder.changes.get());
    bench.start(1);
    bench.device.config().change(() -> bench.device.config().set("capacity", 6));
    assertEquals(1, bench.recorder.changes.get());
    transport.setListener(null);
    bench.device.config().change(() -> bench.device.config().set("capacity", 7));
    assertEquals(1, bench.recorder.changes.get());
  }

  @Test
  void aResetEndsWhatTheDeviceHasInItsHands() throws IOException {
    bench.start(8);
    bench.device.hold(5);
    bench.send(8);
    owner.runUntil(() -> bench.device.held.get() == 8, EchoBench.DEADLINE);
    assertEquals(8, bench.device.held.get());
    transport.reset();
    assertEquals(0, bench.device.held.get());
    assertEquals(0, transport.status());
    assertTrue(bench.queue().isBroken());
    owner.runUntilIdle();
    assertEquals(FaultReason.DEVICE_NEEDS_RESET, bench.driver().broken.reason());
    // It was used, and still is lost with the broken queue.
    assertEquals(8, bench.driver().detach(bench.queue()));
    transport.deleteQueues();
    bench.start(8);
    bench.sendAndAwait(100);
  }

  @Test
  void aQueueIsResetAndResized() throws IOException, PeerFault {
    bench.start(32);
    bench.sendAndAwait(100);
    bench.device.hold(3);
    bench.send(32);
    owner.runUntil(() -> bench.device.held.get() == 32, EchoBench.DEADLINE);
    transport.resetQueue(0);
    assertEquals(0, bench.device.held.get());
    assertFalse(bench.queue().isBroken());
    bench.driver().take();
    assertEquals(0, bench.queue().inFlight());
    assertThrows(IllegalArgumentException.class, () -> transport.enableQueue(0, 128));
    assertThrows(IllegalArgumentException.class, () -> transport.enableQueue(0, 0));
    for (int size : new int[] {8, 64, 4}) {
      transport.enableQueue(0, size);
      assertEquals(size, bench.queue().size());
      bench.sendAndAwait(1000);
      assertThrows(IllegalStateException.class, () -> transport.enableQueue(0, 8));
      transport.resetQueue(0);
    }
    assertThrows(IOException.class, () -> transport.resetQueue(1));
  }

  @Test
  void aFaultNeedsAReset() throws IOException, PeerFault {
    bench.start(4);
    bench.sendAndAwait(10);
    bench.device.fault();
    bench.send(4);
    owner.runUntilIdle();
    assertEquals(FaultReason.DEVICE_NEEDS_RESET, bench.driver().broken.reason());
    assertEquals(List.of(0), bench.recorder.broken);
    assertEquals(1, bench.recorder.changes.get());
    assertTrue((transport.status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
    assertThrows(PeerFault.class, () -> bench.queue().get());
    transport.reset();
    assertEquals(0, transport.status());
    assertEquals(4, bench.driver().detach(bench.queue()));
    transport.deleteQueues();
    long faults = transport.host().faults();
    assertEquals(1, faults);
    bench.start(4).send(1000);
    bench.until("all back", bench.driver()::isDone);
    assertEquals(faults, transport.host().faults());
  }

  @Test
  void memoryGrowsUnderARunningQueue() throws IOException {
    DriverMemory memory = transport.memory();
    bench.start(2);
    bench.device.hold();
    bench.send(1);
    owner.runUntil(() -> bench.device.held.get() == 1, EchoBench.DEADLINE);
    int regions = memory.regions().size();
    MemorySegment in = memory.allocate(3 << 20, 4096);
    MemorySegment out = memory.allocate(3 << 20, 1);
    assertTrue(memory.regions().size() > regions);
    assertNotEquals(in.address(), memory.deviceAddress(in));
    // What was in flight when the memory grew is still there.
    assertEquals(1, bench.device.held.get());
    bench.device.release();
    bench.awaitAll();
    in.fill((byte) 7);
    Object[] token = new Object[1];
    try {
      DriverBuffer buffer = new DriverBuffer(memory, 2).readable(in).writable(out);
      assertTrue(bench.queue().add(buffer, "large"));
      assertTrue(bench.queue().kick());
      bench.queue().disableCallback();
      transport.setOwner(0, new InlineOwner());
      owner.runUntilIdle();
      token[0] = bench.queue().get();
    } catch (PeerFault fault) {
      throw new AssertionError(fault);
    }
    assertEquals("large", token[0]);
    assertEquals(-1, out.mismatch(in));
  }

  @Test
  void regionsLieApartAndWhatIsOutsideIsAFault() throws IOException, PeerFault {
    DriverMemory memory = transport.memory();
    bench.start(1);
    DriverMemory.Region region = memory.regions().getFirst();
    long end = region.deviceAddress() + region.segment().byteSize();
    memory.allocate(region.segment().byteSize(), 1);
    assertTrue(memory.regions().getLast().deviceAddress() > end);
    bench.queue().add(new DriverBuffer(memory, 1).writable(end, 8), "outside");
    bench.queue().kick();
    owner.runUntilIdle();
    assertEquals(1, transport.host().faults());
    assertEquals(FaultReason.DEVICE_NEEDS_RESET, bench.driver().broken.reason());
  }

  @Test
  void findQueuesTakesAllOrNone() throws IOException {
    EchoDriver.negotiate(transport);
    QueueRequest wanted = new EchoDriver(transport, 1).request(owner);
    long before = transport.memory().allocated();
    assertThrows(IOException.class, () -> transport.findQueues(List.of(wanted, wanted)));
    assertEquals(before, transport.memory().allocated());
    assertEquals(0, transport.queueMaxSize(1));
    assertEquals(EchoDevice.MAX_SIZE, transport.queueMaxSize(0));
    assertEquals(
        Arrays.asList((DriverQueue) null),
        transport.findQueues(Arrays.asList((QueueRequest) null)));
    QueueRequest small = new QueueRequest("small", 4, 1, null, owner);
    assertEquals(4, transport.findQueues(List.of(small)).getFirst().size());
    assertThrows(IllegalStateException.class, () -> transport.findQueues(List.of(wanted)));
    transport.deleteQueues();
    assertEquals(before, transport.memory().allocated());
  }

  @Test
  void queuesThatAreDeletedBeforeAResetKeepTheirMemory() throws IOException {
    bench.start(1);
    long before = transport.memory().allocated();
    DriverQueue queue = bench.queue();
    transport.deleteQueues();
    assertEquals(before, transport.memory().allocated());
    assertTrue(queue.isBroken());
    transport.reset();
    bench.start(1);
    bench.sendAndAwait(10);
  }

  @Test
  void nothingWorksOnceClosed() throws IOException {
    bench.start(4);
    bench.device.hold(2);
    bench.send(4);
    transport.close();
    transport.close();
    assertEquals(0, bench.device.held.get());
    owner.runUntilIdle();
    assertEquals(FaultReason.DEVICE_GONE, bench.driver().broken.reason());
    assertFalse(bench.queue().kick());
    assertThrows(IOException.class, transport::status);
    assertThrows(IOException.class, transport::reset);
    assertThrows(IOException.class, () -> transport.writeStatus(1));
    assertThrows(IOException.class, () -> transport.readConfig(0, new byte[1]));
    assertThrows(IOException.class, () -> transport.memory().allocate(64 << 20, 1));
    // The device is free for another transport.
    try (InProcessTransport next = new InProcessTransport(bench.device, owner)) {
      EchoDriver.negotiate(next);
    }
  }
}
