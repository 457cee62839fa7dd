// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.BrokenQueues;
import io.jvirtio.transport.Recorder;
import java.io.IOException;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Registers that lie: each lie ends in an error that says what and where, or has no effect. */
class LyingMmioTest {
  private static final String LAYOUT = "Virtio Over MMIO / MMIO Device Register Layout";
  private static final String INITIALIZATION =
      "Virtio Over MMIO / MMIO-specific Initialization And Device Operation / Device Initialization";
  private static final Duration SHORT = Duration.ofMillis(30);
  private static final MmioDriverOptions OPTIONS =
      MmioDriverOptions.defaults().withResetDeadline(SHORT);
  private static final FeatureBits RESET =
      FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1, ReservedFeatures.VIRTIO_F_RING_RESET);

  private final InlineOwner owner = new InlineOwner();
  private final Recorder told = new Recorder();
  private final BrokenQueues broken = new BrokenQueues();
  private LyingMmio mmio = new LyingMmio(2);

  private MmioDriverTransport open() throws IOException {
    return open(OPTIONS);
  }

  private MmioDriverTransport open(MmioDriverOptions options) throws IOException {
    MmioDriverTransport transport = new MmioDriverTransport(mmio, options);
    transport.setListener(told);
    return transport;
  }

  private List<DriverQueue> find(MmioDriverTransport transport, int queues) throws IOException {
    QueueRequest request = new QueueRequest("lied to", 0, 3, broken, owner);
    return transport.findQueues(Collections.nCopies(queues, request));
  }

  private static void fails(String says, Executable call) {
    IOException error = assertThrows(IOException.class, call);
    assertTrue(error.getMessage().contains(says), error.getMessage());
    assertTrue(error.getMessage().contains("mmio@0xfeb00e00"), error.getMessage());
  }

  private void isNone(String why, Integer... read) throws IOException {
    mmio.accesses.clear();
    assertEquals(0, MmioDriverTransport.deviceIdAt(mmio));
    assertEquals(List.of(read), mmio.offsets());
    fails(why, this::open);
    assertTrue(mmio.closed);
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "The driver MUST ignore a device with MagicValue which is not 0x74726976, although it MAY"
              + " report an error.")
  @Requirement(
      section = LAYOUT,
      text =
          "The driver MUST ignore a device with Version which is not 0x2, although it MAY report an"
              + " error.")
  @Requirement(
      section = LAYOUT,
      text = "The driver MUST ignore a device with DeviceID 0x0, but MUST NOT report any error.")
  @Requirement(
      section = INITIALIZATION,
      text =
          "The driver MUST start the device initialization by reading and checking values from"
              + " MagicValue and Version. If both values are valid, it MUST read DeviceID and if its"
              + " value is zero (0x0) MUST abort initialization and MUST NOT access any other"
              + " register.")
  void whatIsNoDevice() throws IOException {
    mmio.set(0, 0x7472_6977);
    isNone("the magic value is 0x74726977", 0);
    mmio.lie(0, 0xffff_ffffL);
    isNone("the magic value is 0xffffffff", 0);
    mmio = new LyingMmio(2);
    for (long version : new long[] {0, 3, 0xffff_ffffL}) {
      mmio.set(LyingMmio.VERSION, version);
      isNone("unknown version " + version, 0, 4);
    }
    for (int version : new int[] {1, 2}) {
      mmio.set(LyingMmio.VERSION, version).set(LyingMmio.DEVICE_ID, 0);
      isNone("a place without a device", 0, 4, 8);
      mmio.set(LyingMmio.DEVICE_ID, 0xffff_ffffL);
      isNone("no device has the id 4294967295", 0, 4, 8);
    }
    mmio.visible = 0x80;
    isNone("registers of only 128 bytes");
    mmio.visible = 0x200;
    mmio.set(LyingMmio.DEVICE_ID, 2);
    assertEquals(2, MmioDriverTransport.deviceIdAt(mmio));
    mmio.unreachable = true;
    fails("the wire is cut", this::open);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void aStatusThatNeverBecomesZero(int version) throws IOException {
    mmio = new LyingMmio(version);
    MmioDriverTransport transport = open();
    mmio.lie(LyingMmio.STATUS, 0x10f);
    fails("status is ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK", transport::reset);
    fails("reset is not done", transport::reset);
    assertEquals(List.of(), told.lost);
    transport.close();
    assertTrue(mmio.closed);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void registersOfNothing(int version) throws IOException {
    mmio = new LyingMmio(version);
    MmioDriverTransport transport = open();
    find(transport, 2);
    mmio.lie(LyingMmio.STATUS, 0xffff_ffffL).lie(LyingMmio.INTERRUPT_STATUS, 0xffff_ffffL);
    mmio.handler.run();
    assertEquals(1, told.lost.size());
    owner.runUntilIdle();
    assertEquals(FaultReason.DEVICE_GONE, broken.faults.getFirst().reason());
    fails("cannot be reached", transport::queueCount);
    fails("cannot be reached", transport::status);
    transport.deleteQueues();
    fails("all ones", () -> transport.reconnect(SHORT));
    mmio.lie(LyingMmio.STATUS, 0).set(LyingMmio.DEVICE_ID, 3);
    fails("another device", () -> transport.reconnect(SHORT));
    mmio.set(LyingMmio.DEVICE_ID, 0);
    fails("without a device", () -> transport.reconnect(SHORT));
    mmio.set(LyingMmio.DEVICE_ID, 2);
    transport.reconnect(SHORT);
    assertEquals(0, transport.status());
    assertEquals(0, transport.memory().allocated());
    transport.close();
  }

  @Test
  void aWireThatIsCut() throws IOException {
    MmioDriverTransport transport = open();
    DriverQueue queue = find(transport, 1).getFirst();
    mmio.unreachable = true;
    mmio.handler.run();
    assertEquals(1, told.lost.size());
    assertTrue(told.lost.getFirst().getMessage().contains("the wire is cut"));
    assertFalse(queue.notifyDevice());
    assertTrue(queue.isBroken());
    fails("the wire is cut", () -> transport.readConfig(0, new byte[1]));
    transport.deleteQueues();
    transport.close();
    assertTrue(mmio.closed);
    assertEquals(1, told.lost.size());
  }

  @ParameterizedTest
  @ValueSource(longs = {3, 100, 0x8001, 0xffff, 0x1_0000, 0xffff_ffffL})
  void aQueueSizeThatIsNone(long size) throws IOException {
    MmioDriverTransport transport = open();
    mmio.lie(LyingMmio.QUEUE_SIZE_MAX, size);
    fails(
        "queue 0 (lied to): the device says that its size is " + (int) size,
        () -> find(transport, 1));
    nothingWasDone(transport);
    // Every queue that it is asked for is there: there is an end to that.
    assertEquals(1024, transport.queueCount());
    transport.close();
  }

  @Test
  void aQueueThatIsNot() throws IOException {
    MmioDriverTransport transport = open();
    mmio.lie(LyingMmio.QUEUE_SIZE_MAX, 0);
    fails("has 0 queues, not 1", () -> find(transport, 1));
    nothingWasDone(transport);
    transport.close();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void aQueueThatIsInUseAlready(int version) throws IOException {
    mmio = new LyingMmio(version);
    MmioDriverTransport transport = open();
    mmio.lie(version == 1 ? LyingMmio.QUEUE_PFN : LyingMmio.QUEUE_READY, 1);
    fails("queue 0 (lied to): the device has it enabled", () -> find(transport, 1));
    nothingWasDone(transport);
    transport.close();
  }

  private void nothingWasDone(MmioDriverTransport transport) {
    assertEquals(0, transport.memory().allocated());
    assertNull(mmio.handler);
    assertEquals(List.of(), mmio.writes(LyingMmio.QUEUE_READY));
    assertEquals(List.of(), mmio.writes(LyingMmio.QUEUE_PFN));
    assertEquals(List.of(), told.lost);
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "If VIRTIO_F_RING_RESET has been negotiated, after the driver writes 1 to QueueReset to"
              + " reset the queue, the driver MUST NOT consider queue reset to be complete until it"
              + " reads back 0 in QueueReset.")
  void aQueueResetWithoutAnEnd() throws IOException {
    MmioDriverTransport transport = open();
    fails("VIRTIO_F_RING_RESET", () -> transport.resetQueue(0));
    transport.writeDriverFeatures(RESET);
    find(transport, 2);
    mmio.lie(LyingMmio.QUEUE_RESET, 1);
    fails("reset of queue 1 is not done", () -> transport.resetQueue(1));
    mmio.lie(LyingMmio.QUEUE_RESET, 0).lie(LyingMmio.QUEUE_READY, 1);
    fails("queue 1: the device has it enabled after its reset", () -> transport.resetQueue(1));
    mmio.lie(LyingMmio.STATUS, 0xffff_ffffL).lie(LyingMmio.QUEUE_RESET, 0xffff_ffffL);
    fails("all ones", () -> transport.resetQueue(1));
    assertEquals(1, told.lost.size());
    transport.close();
  }

  @Test
  void aQueueThatStaysReadyIsStillFreedByAReset() throws IOException {
    MmioDriverTransport transport = open();
    find(transport, 1);
    mmio.lie(LyingMmio.QUEUE_READY, 1).lie(LyingMmio.STATUS, 0);
    transport.reset();
    transport.deleteQueues();
    assertEquals(0, transport.memory().allocated());
    assertEquals(List.of(1L, 0L), mmio.writes(LyingMmio.QUEUE_READY));
    transport.close();
  }

  @Test
  void aGenerationThatNeverRests() throws IOException {
    MmioDriverTransport transport = open();
    long[] next = new long[1];
    mmio.lie(LyingMmio.GENERATION, () -> next[0]++);
    try (DriverDevice device = new DriverDevice(transport)) {
      IOException error = assertThrows(IOException.class, () -> device.config().get("capacity"));
      assertTrue(error.getMessage().contains("kept changing"), error.getMessage());
      mmio.lie(LyingMmio.GENERATION, 0xffff_ffffL); // is one as good as any
      device.config().get("capacity");
    }
    assertEquals(List.of(), told.lost);
  }

  @Test
  @Requirement(section = LAYOUT, text = "The driver MUST ignore undefined bits in InterruptStatus.")
  @Requirement(
      section = LAYOUT,
      text =
          "The driver MUST write a value with a bit mask describing events it handled into"
              + " InterruptACK when it finishes handling an interrupt and MUST NOT set any of the"
              + " undefined bits in the value.")
  void anInterruptStatusThatIsNeverCleared() throws IOException {
    MmioDriverTransport transport = open();
    find(transport, 1);
    mmio.lie(LyingMmio.INTERRUPT_STATUS, 0xffff_fff2L).lie(LyingMmio.STATUS, 0);
    for (int i = 1; i <= 3; i++) {
      mmio.handler.run();
      assertEquals(i, told.changes.get());
    }
    assertEquals(List.of(2L, 2L, 2L), mmio.writes(LyingMmio.INTERRUPT_ACK));
    mmio.lie(LyingMmio.INTERRUPT_STATUS, 0xffff_fff0L);
    mmio.handler.run();
    mmio.lie(LyingMmio.INTERRUPT_STATUS, 0);
    mmio.handler.run();
    assertEquals(3, told.changes.get());
    assertEquals(3, mmio.writes(LyingMmio.INTERRUPT_ACK).size());
    assertEquals(List.of(), told.lost);
    transport.close();
  }

  @Test
  void interruptsThatAreRefused() throws IOException {
    MmioDriverTransport transport = open();
    mmio.refusesInterrupts = true;
    fails("gives no interrupt: the line is taken", () -> find(transport, 1));
    nothingWasDone(transport);
    MmioDriverTransport polls = open(OPTIONS.withInterrupts(false));
    assertEquals(1, find(polls, 1).size());
    assertNull(mmio.handler);
    polls.close();
    transport.close();
  }

  @Test
  void sharedMemoryThatCannotBe() throws IOException {
    MmioDriverTransport transport = open();
    assertNull(transport.sharedMemoryRegion(1)); // such registers read as 0
    shared(-1, -1);
    assertNull(transport.sharedMemoryRegion(1));
    shared(0x3000, 0x12_3456_7000L);
    assertEquals(0x3000, transport.sharedMemoryRegion(7).segment().byteSize());
    assertEquals(List.of(0x12_3456_7000L, 0x3000L), mmio.mapped);
    assertEquals(7, mmio.writes(LyingMmio.SHM_SEL).getLast());
    long[][] wrong = {{0x1000, -1}, {-2, 0}, {1L << 63, 0}, {0x2000, -0x1000}};
    for (long[] w : wrong) {
      mmio.mapped = null;
      shared(w[0], w[1]);
      fails("shared memory region 1", () -> transport.sharedMemoryRegion(1));
      assertNull(mmio.mapped);
    }
    transport.close();
  }

  private void shared(long length, long base) {
    mmio.set(LyingMmio.SHM_LEN, length).set(LyingMmio.SHM_LEN + 4, length >>> 32);
    mmio.set(LyingMmio.SHM_BASE, base).set(LyingMmio.SHM_BASE + 4, base >>> 32);
  }

  @Test
  void aLegacyQueueOutOfReach() throws IOException {
    for (long base : new long[] {1L << 44, 0}) {
      mmio = new LyingMmio(1, base);
      MmioDriverTransport transport = open();
      assertTrue(transport.isLegacy());
      assertEquals(2, transport.deviceId());
      assertEquals(0x1234, transport.vendorId());
      fails("reaches from 2^12 to 2^44", () -> find(transport, 1));
      nothingWasDone(transport);
      transport.close();
    }
  }

  @Test
  void aLegacyQueueAtTheEndOfReach() throws IOException {
    mmio = new LyingMmio(1, (1L << 44) - (1 << 20));
    MmioDriverTransport transport = open();
    assertNotNull(find(transport, 1).getFirst());
    assertEquals(0xffff_ff00L, mmio.writes(LyingMmio.QUEUE_PFN).getFirst());
    assertEquals(16, transport.queueMaxSize(0));
    transport.close();
    assertEquals(0, mmio.writes(LyingMmio.QUEUE_PFN).getLast());
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "The driver MUST only use 32 bit wide and aligned reads and writes to access the control"
              + " registers described in table MMIO Device Register Layout. For the"
              + " device-specific configuration space, the driver MUST use 8 bit wide accesses for 8"
              + " bit wide fields, 16 bit wide and aligned accesses for 16 bit wide fields and 32"
              + " bit wide and aligned accesses for 32 and 64 bit wide fields.")
  void fieldsAreReadInTheirWidth() throws IOException {
    MmioDriverTransport transport = open();
    transport.reset();
    find(transport, 2);
    mmio.accesses.clear();
    transport.readConfig(0, new byte[VirtioBlk.CONFIG.size()]);
    for (LyingMmio.Access access : mmio.accesses) {
      int width =
          VirtioBlk.CONFIG.fields().stream()
              .filter(f -> f.offset() <= access.offset() - 0x100)
              .reduce((a, b) -> b)
              .orElseThrow()
              .type()
              .size();
      assertEquals(Math.min(width, 4), access.width(), "at " + access.offset());
    }
    mmio.accesses.clear();
    transport.writeConfig(VirtioBlk.CONFIG.field("writeback").offset(), new byte[1]);
    assertEquals(1, mmio.accesses.getFirst().width());
    fails("no configuration", () -> transport.readConfig(0x100, new byte[1]));
    transport.close();
  }

  @Test
  void optionsThatMakeNoSense() {
    assertThrows(
        IllegalArgumentException.class,
        () -> MmioDriverOptions.defaults().withResetDeadline(Duration.ZERO));
  }
}
