// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.NegotiationException;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.EchoDevice;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The front-end drives an {@link EchoDevice} of our own back-end. */
@ParameterizedClass
@EnumSource
class TransportTest {
  private static final long ALL = VhostUserFrontEndOptions.defaults().protocolFeatures();
  private static final long MIB = 1 << 20;

  @Parameter RingFormat format;
  @TempDir Path directory;
  private BackEnd backEnd;
  private List<String> before;
  private Driving driving;

  @BeforeEach
  void serve() throws IOException {
    backEnd = new BackEnd(directory);
    before = backEnd.warmUp();
  }

  @AfterEach
  void nothingIsLeft() throws IOException {
    if (driving != null) {
      driving.close();
    }
    try {
      Await.descriptors(before);
      backEnd.serveOneMore();
      assertEquals(0, backEnd.server.stats().protocolFaults());
    } finally {
      backEnd.close();
    }
  }

  private VhostUserFrontEndOptions options() {
    return VhostUserFrontEndOptions.defaults()
        .withMaxQueueSize(EchoDevice.MAX_SIZE)
        .withReplyDeadline(Duration.ofSeconds(20));
  }

  private VhostUserTransport connect(VhostUserFrontEndOptions options) throws IOException {
    driving = new Driving(VhostUserTransport.connect(directory.resolve("s"), 42, options), format);
    return driving.transport;
  }

  private static long without(int... protocolFeatures) {
    return ALL & ~ProtocolFeatures.mask(protocolFeatures);
  }

  @Test
  void whatTheBackEndSaysOfItself() throws IOException {
    VhostUserTransport transport = connect(options());
    assertEquals(VhostUserSession.PROTOCOL_FEATURES, transport.offeredProtocolFeatures());
    assertEquals(VhostUserSession.PROTOCOL_FEATURES, transport.protocolFeatures());
    assertEquals(VhostMemory.MAX_SLOTS, transport.memorySlots());
    assertEquals(EchoDevice.QUEUES, transport.announcedQueues());
    assertEquals(EchoDevice.QUEUES, transport.queueCount());
    assertEquals(EchoDevice.MAX_SIZE, transport.queueMaxSize(2));
    assertEquals(0, transport.queueMaxSize(3));
    assertEquals(42, transport.deviceId());
    assertEquals(0, transport.vendorId());
    assertFalse(transport.isLegacy());
    assertEquals("vhost-user:" + directory.resolve("s"), transport.busName());
    FeatureBits offered = transport.deviceFeatures();
    assertTrue(offered.has(EchoDevice.FEATURE));
    assertTrue(offered.has(ReservedFeatures.VIRTIO_F_VERSION_1));
    assertFalse(offered.has(ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES));
    assertEquals(
        offered.with(ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES), transport.offeredFeatures());
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, 0, ~0x8L, ~0x8000L, ~0x10000L, ~0x2000L, ~0x18008L, ~0x20L})
  void buffersGoThereAndBackWhateverIsNegotiated(long mask) throws Exception {
    connect(options().withProtocolFeatures(mask));
    driving.start(EchoDevice.QUEUES);
    for (int round = 0; round < 100; round++) {
      driving.echo(round % EchoDevice.QUEUES, "round " + round);
    }
    driving.transport.reset();
    driving.transport.deleteQueues();
    driving.start(1);
    driving.echo(0, "after a reset");
  }

  @Test
  void aQueueWithoutACallbackIsPolled() throws Exception {
    connect(options());
    driving.start(Arrays.asList(null, driving.polled("polled"), driving.request("called")));
    assertNull(driving.queues.getFirst());
    for (int i = 0; i < 50; i++) {
      driving.echoPolled(1, "polled " + i);
      driving.echo(2, "called " + i);
    }
  }

  @Test
  void aQueueMovesToAnotherOwner() throws Exception {
    connect(options());
    driving.start(1);
    driving.echo(0, "first owner");
    try (EventLoop other = EventLoop.start("other", LoopMode.EVENT, (s, f) -> {})) {
      driving.transport.setOwner(0, other);
      Driving.Message message = driving.new Message("second owner");
      DriverQueue queue = driving.queues.getFirst();
      other.call(
          () -> {
            assertTrue(queue.add(message.buffer(), message));
            return queue.kick();
          },
          Duration.ofSeconds(20));
      assertEquals("second owner", message.await());
      driving.transport.synchronizeCallbacks();
      driving.transport.setOwner(0, driving.owner);
    }
    driving.echo(0, "first owner again");
  }

  @Test
  void statusAndFeaturesAsADriverWritesThem() throws IOException {
    VhostUserTransport transport = connect(options());
    assertEquals(11, driving.negotiate(driving.features.with(EchoDevice.FEATURE)));
    // The device does not accept this one: FEATURES_OK does not stay.
    assertEquals(3, driving.negotiate(driving.features.with(EchoDevice.REFUSED_FEATURE)) & 11);
    NegotiationException missing =
        assertThrows(
            NegotiationException.class,
            () -> transport.writeDriverFeatures(driving.features.with(9)));
    assertTrue(missing.getMessage().contains("9"), missing.getMessage());
    NegotiationException legacy =
        assertThrows(
            NegotiationException.class, () -> transport.writeDriverFeatures(FeatureBits.NONE));
    assertEquals("driver does not accept VIRTIO_F_VERSION_1", legacy.getMessage());
    assertThrows(
        NegotiationException.class,
        () -> transport.writeDriverFeatures(driving.features.with(100)));
    assertThrows(IllegalArgumentException.class, () -> transport.writeStatus(0));
    assertThrows(IllegalArgumentException.class, () -> transport.writeStatus(256));
  }

  @Test
  void configurationIsReadAndWritten() throws IOException {
    VhostUserTransport transport = connect(options());
    driving.start(1);
    assertEquals(256, transport.configSize());
    byte[] bytes = new byte[3];
    transport.readConfig(2, bytes);
    assertArrayEquals(new byte[] {0x66, 0x55, 0x44}, bytes);
    transport.writeConfig(8, new byte[] {0});
    byte[] mode = {7};
    transport.readConfig(8, mode);
    assertEquals(0, mode[0]);
    IOException refused =
        assertThrows(IOException.class, () -> transport.writeConfig(9, new byte[] {1}));
    assertTrue(refused.getMessage().contains("SET_CONFIG"), refused.getMessage());
    assertThrows(IllegalArgumentException.class, () -> transport.readConfig(250, new byte[8]));
    assertThrows(IllegalArgumentException.class, () -> transport.readConfig(-1, new byte[1]));
    // None of this has ended the connection.
    assertEquals(15, transport.status());
  }

  @Test
  void aChangeOfTheConfigurationIsTold() throws IOException {
    VhostUserTransport transport = connect(options());
    driving.start(1);
    int generation = transport.configGeneration();
    backEnd.device.config().change(() -> backEnd.device.config().set("capacity", 5));
    Await.until("configuration change", () -> driving.changes.get() == 1);
    assertNotEquals(generation, transport.configGeneration());
    byte[] capacity = new byte[8];
    transport.readConfig(0, capacity);
    assertEquals(5, capacity[0]);
  }

  @Test
  void withoutItsProtocolFeaturesThereIsNoConfiguration() throws IOException {
    VhostUserTransport transport =
        connect(options().withProtocolFeatures(without(ProtocolFeatures.CONFIG)));
    assertEquals(0, transport.configSize());
    assertEquals(-1, transport.configGeneration());
    IOException none = assertThrows(IOException.class, () -> transport.readConfig(0, new byte[1]));
    assertTrue(none.getMessage().contains("CONFIG"), none.getMessage());
  }

  @Test
  void withoutMqAnyNumberOfQueuesMayExist() throws Exception {
    VhostUserTransport transport =
        connect(options().withProtocolFeatures(without(ProtocolFeatures.MQ)));
    assertEquals(-1, transport.announcedQueues());
    assertEquals(256, transport.queueCount());
    driving.start(2);
    driving.echo(1, "second");
  }

  @Test
  void moreQueuesThanThereAre() throws IOException {
    connect(options());
    IOException tooMany = assertThrows(IOException.class, () -> driving.start(4));
    assertTrue(tooMany.getMessage().contains("3 queues, not 4"), tooMany.getMessage());
    assertEquals(0, driving.transport.memory().allocated());
    driving.start(3);
    assertThrows(IllegalStateException.class, () -> driving.transport.findQueues(List.of()));
    assertThrows(IllegalArgumentException.class, () -> driving.transport.resetQueue(3));
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, ~0x8000L, ~0x8008L})
  void memoryGrowsWhileQueuesRun(long mask) throws Exception {
    // By one region more, or by a whole new table without CONFIGURE_MEM_SLOTS.
    connect(options().withProtocolFeatures(mask).withMemory(2 * MIB, 2 * MIB));
    driving.start(2);
    DriverMemory memory = driving.transport.memory();
    driving.echo(0, "before");
    while (memory.regions().size() < 5) {
      int known = memory.regions().size();
      MemorySegment big = memory.allocate(2 * MIB, 64);
      assertTrue(memory.isShared(big));
      DriverMemory.Region last = memory.regions().getLast();
      assertNotEquals(last.segment().address(), last.deviceAddress());
      driving.echo(0, "regions before: " + known);
      driving.echo(1, "also here");
    }
  }

  @Test
  void memoryIsThereBeforeTheBackEndKnowsIt() throws Exception {
    connect(options().withMemory(2 * MIB, 2 * MIB));
    DriverMemory memory = driving.transport.memory();
    memory.allocate(3 * MIB, 4096);
    memory.allocate(MIB, 4096);
    assertEquals(1, memory.regions().size());
    memory.allocate(5 * MIB, 4096);
    assertEquals(2, memory.regions().size());
    driving.start(1);
    driving.echo(0, "in one of them");
  }

  @Test
  void oneQueueIsResetAndEnabledAgain() throws Exception {
    VhostUserTransport transport = connect(options());
    driving.start(2);
    DriverQueue queue = driving.queues.getFirst();
    driving.echo(0, "before");
    assertThrows(IllegalStateException.class, () -> transport.enableQueue(0, 8));
    transport.resetQueue(0);
    driving.echo(1, "the other goes on");
    transport.enableQueue(0, 8);
    assertEquals(8, queue.size());
    for (int i = 0; i < 40; i++) {
      driving.echo(0, "after " + i);
    }
    transport.resetQueue(0);
    transport.enableQueue(0, 16);
    driving.echo(0, "at its old size");
  }

  @Test
  void aQueueThatTheDeviceGaveUpIsBroken() throws Exception {
    connect(options());
    driving.start(2);
    DriverQueue queue = driving.queues.getFirst();
    driving.onOwner(
        () -> {
          // An address that is nowhere.
          queue.add(new DriverBuffer(driving.transport.memory(), 1).readable(16, 16), driving);
          return queue.kick();
        });
    Await.until("queue breaks", queue::isBroken);
    assertSame(FaultReason.DEVICE_NEEDS_RESET, queue.fault().reason());
    Await.until("is told", () -> driving.broken.equals(List.of("0 DEVICE_NEEDS_RESET")));
  }

  @Test
  void aRingOfWhichNothingIsKnownAnyMoreIsBroken() throws Exception {
    VhostUserTransport transport = connect(options());
    driving.start(2);
    transport.breakQueues(new PeerFault(FaultReason.DEVICE_SILENT, 0));
    Await.until("both are told", () -> driving.broken.size() == 2);
  }

  @Test
  void anotherBackEndTakesThePlaceOfOneThatHasGone() throws Exception {
    VhostUserTransport transport = connect(options());
    driving.start(1);
    driving.echo(0, "first back-end");
    backEnd.server.stop();
    Await.until("lost", driving.lost::isDone);
    assertEquals("back-end closed the connection", driving.lost.get().getMessage());
    IOException gone = assertThrows(IOException.class, transport::status);
    assertEquals("back-end closed the connection", gone.getMessage());
    assertThrows(IllegalStateException.class, () -> transport.reconnect(Duration.ZERO));
    transport.deleteQueues();
    backEnd.close();
    IOException never =
        assertThrows(IOException.class, () -> transport.reconnect(Duration.ofMillis(200)));
    assertTrue(never.getMessage().startsWith("cannot reconnect to "), never.getMessage());
    // Another server at the same place.
    backEnd = new BackEnd(directory);
    transport.reconnect(Duration.ofSeconds(20));
    driving.start(2);
    driving.echo(1, "with the same memory");
    driving.close();
    driving = null;
    Await.until("same descriptors", () -> Await.descriptors().size() == before.size());
    before = Await.descriptors();
  }

  @Test
  void aConnectionThatWorksIsMadeAnew() throws Exception {
    VhostUserTransport transport = connect(options());
    for (int i = 0; i < 5; i++) {
      driving.start(1);
      driving.echo(0, "connection " + i);
      int generation = transport.configGeneration();
      transport.reset();
      transport.deleteQueues();
      assertTrue(transport.canReconnect());
      transport.reconnect(Duration.ofSeconds(20));
      assertNotEquals(generation, transport.configGeneration());
    }
    assertFalse(driving.lost.isDone());
    assertEquals(0, transport.memory().allocated() - 10 * DriverMemory.GRAIN);
  }

  @Test
  void nobodyListens() {
    IOException none =
        assertThrows(
            IOException.class,
            () -> VhostUserTransport.connect(directory.resolve("nothing"), 42, options()));
    assertTrue(none.getMessage().contains("ENOENT"), none.getMessage());
  }

  @Test
  void everythingFailsOnceItIsClosed() throws Exception {
    VhostUserTransport transport = connect(options());
    driving.start(1);
    transport.close();
    transport.close();
    assertThrows(IOException.class, transport::status);
    assertThrows(IOException.class, () -> transport.memory().allocate(1 << 30, 64));
    assertThrows(IOException.class, () -> transport.reconnect(Duration.ofSeconds(1)));
    assertFalse(driving.lost.isDone());
  }

  @Test
  void optionsAreChecked() {
    VhostUserFrontEndOptions defaults = VhostUserFrontEndOptions.defaults();
    assertEquals(
        7, defaults.withConnectTimeout(Duration.ofSeconds(7)).connectTimeout().toSeconds());
    assertEquals(
        7, defaults.withReconnectInterval(Duration.ofMillis(7)).reconnectInterval().toMillis());
    assertThrows(IllegalArgumentException.class, () -> defaults.withReplyDeadline(Duration.ZERO));
    assertThrows(
        IllegalArgumentException.class, () -> defaults.withConnectTimeout(Duration.ofDays(2)));
    assertThrows(IllegalArgumentException.class, () -> defaults.withMemory(0, 1));
    assertThrows(IllegalArgumentException.class, () -> defaults.withMemory(1, -1));
    assertThrows(IllegalArgumentException.class, () -> defaults.withMaxQueueSize(3));
  }

  @Test
  void aNetworkDeviceMayHaveTwiceAsManyQueues() throws IOException {
    try (VhostUserTransport net =
        VhostUserTransport.connect(directory.resolve("s"), 1, options())) {
      assertEquals(2 * EchoDevice.QUEUES, net.queueCount());
    }
  }

  @Test
  void aQueueThatTheBackEndDoesNotTakeIsNotMade() throws IOException {
    connect(options().withMaxQueueSize(32768));
    QueueRequest huge = new QueueRequest("huge", 0, 2, null, driving.owner);
    assertThrows(IOException.class, () -> driving.start(List.of(huge)));
    driving.close();
    driving = null;
    Await.until("sent away", () -> backEnd.server.stats().protocolFaults() == 1);
    backEnd.close();
    backEnd = new BackEnd(directory);
    before = backEnd.warmUp();
  }
}
