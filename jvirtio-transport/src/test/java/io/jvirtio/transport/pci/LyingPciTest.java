// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.BrokenQueues;
import io.jvirtio.transport.Recorder;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Functions that lie: each lie ends in an error that says what and where, or has no effect. */
class LyingPciTest {
  private static final String VECTORS =
      "Virtio Over PCI Bus / PCI-specific Initialization And Device Operation / Device"
          + " Initialization / MSI-X Vector Configuration";
  private static final Duration SHORT = Duration.ofMillis(30);
  private static final PciDriverOptions OPTIONS =
      PciDriverOptions.defaults().withResetDeadline(SHORT);
  private static final FeatureBits VERSION_1 = FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1);
  private static final FeatureBits RESET = VERSION_1.with(ReservedFeatures.VIRTIO_F_RING_RESET);
  private static final FeatureBits DATA =
      VERSION_1.with(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA);

  private final LyingPci pci = new LyingPci();
  private final InlineOwner owner = new InlineOwner();
  private final Recorder told = new Recorder();
  private final BrokenQueues broken = new BrokenQueues();

  private PciDriverTransport open(PciDriverOptions options) throws IOException {
    PciDriverTransport transport = new PciDriverTransport(pci, options);
    transport.setListener(told);
    return transport;
  }

  private PciDriverTransport open() throws IOException {
    return open(OPTIONS);
  }

  private QueueRequest request() {
    return new QueueRequest("lied to", 0, 3, broken, owner);
  }

  private List<DriverQueue> find(PciDriverTransport transport, int queues) throws IOException {
    List<QueueRequest> requests = new ArrayList<>();
    for (int i = 0; i < queues; i++) {
      requests.add(request());
    }
    return transport.findQueues(requests);
  }

  private static void fails(String says, Executable call) {
    IOException error = assertThrows(IOException.class, call);
    assertTrue(error.getMessage().contains(says), error.getMessage());
    assertTrue(error.getMessage().contains("0000:00:1f.7"), error.getMessage());
  }

  @Test
  void aStatusThatNeverBecomesZero() throws IOException {
    PciDriverTransport transport = open();
    pci.common().lie(LyingPci.STATUS, 0x0f);
    fails("status is ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK", transport::reset);
    fails("reset is not done", transport::reset);
    assertEquals(List.of(), told.lost);
    transport.close();
    assertTrue(pci.closed);
  }

  @Test
  void registersOfNothing() throws IOException {
    PciDriverTransport transport = open();
    find(transport, 2);
    pci.common().lie(LyingPci.STATUS, 0xff);
    fails("all ones", transport::status);
    assertEquals(1, told.lost.size());
    owner.runUntilIdle();
    assertEquals(FaultReason.DEVICE_GONE, broken.faults.getFirst().reason());
    fails("cannot be reached", transport::queueCount);
    fails("cannot be reached", transport::configGeneration);
    transport.deleteQueues();
    assertTrue(transport.canReconnect());
    fails("all ones", () -> transport.reconnect(SHORT));
    pci.common().lie(LyingPci.STATUS, 0);
    transport.reconnect(SHORT);
    assertEquals(0, transport.status());
    assertEquals(0, transport.memory().allocated());
    transport.close();
  }

  @Test
  void memoryIsOnlyAccessedWhileThereAreQueues() throws IOException {
    PciDriverTransport transport = open();
    assertEquals(3, pci.config.get(4, 2));
    transport.reset();
    find(transport, 1);
    assertEquals(7, pci.config.get(4, 2));
    transport.close();
    assertEquals(3, pci.config.get(4, 2));
  }

  @Test
  void aWireThatIsCutWhileInterruptsAreMappedLeavesNoneBehind() throws IOException {
    PciDriverTransport transport = open();
    pci.common().keep(LyingPci.CONFIG_VECTOR, this::cut);
    fails("the wire is cut", () -> find(transport, 1));
    assertEquals(List.of(), pci.vectors);
    transport.close();
  }

  private long cut(long value) {
    pci.unreachable = true;
    return value;
  }

  @Test
  void aWireThatIsCut() throws IOException {
    PciDriverTransport transport = open();
    DriverQueue queue = find(transport, 1).getFirst();
    pci.unreachable = true;
    assertFalse(queue.notifyDevice());
    assertEquals(1, told.lost.size());
    assertTrue(told.lost.getFirst().getMessage().contains("the wire is cut"));
    assertTrue(queue.isBroken());
    fails("the wire is cut", () -> transport.readConfig(0, new byte[1]));
    fails("the wire is cut", transport::reset);
    transport.deleteQueues();
    transport.close();
    assertTrue(pci.closed);
    assertEquals(1, told.lost.size());
  }

  @Test
  void moreQueuesThanAnybodyHas() throws IOException {
    PciDriverTransport transport = open();
    pci.common().lie(LyingPci.NUM_QUEUES, 0xffff_ffffL);
    assertEquals(65535, transport.queueCount());
    assertEquals(2, find(transport, 2).size());
    transport.close();
  }

  @ParameterizedTest
  @ValueSource(ints = {3, 100, 0x8001, 0xffff})
  void aQueueSizeThatIsNone(int size) throws IOException {
    PciDriverTransport transport = open();
    pci.common().lie(LyingPci.QUEUE_SIZE, size);
    fails("queue 0 (lied to): the device says that its size is " + size, () -> find(transport, 1));
    nothingWasDone(transport);
    assertEquals(size, transport.queueMaxSize(0));
    transport.close();
  }

  @Test
  void aQueueThatIsNot() throws IOException {
    PciDriverTransport transport = open();
    pci.common().lie(LyingPci.QUEUE_SIZE, 0);
    fails("queue 0 (lied to): the device does not have it", () -> find(transport, 1));
    nothingWasDone(transport);
    transport.close();
  }

  @Test
  void aQueueThatIsEnabledAlready() throws IOException {
    PciDriverTransport transport = open();
    pci.common().lie(LyingPci.QUEUE_ENABLE, 1);
    fails("queue 0 (lied to): the device has it enabled", () -> find(transport, 1));
    nothingWasDone(transport);
    transport.close();
  }

  private void nothingWasDone(PciDriverTransport transport) {
    assertEquals(0, transport.memory().allocated());
    assertEquals(List.of(), pci.vectors);
    assertNull(pci.pin);
    assertEquals(List.of(), pci.writes(pci.common(), LyingPci.QUEUE_ENABLE));
    assertEquals(List.of(), told.lost);
  }

  @ParameterizedTest
  @ValueSource(ints = {0x40, 0xffff})
  void aNotificationRegisterThatIsNotThere(int offset) throws IOException {
    PciDriverTransport transport = open();
    pci.common().lie(LyingPci.NOTIFY_OFF, offset);
    fails(
        "queue 0: notified with 2 bytes at 0x" + Integer.toHexString(offset * 4),
        () -> find(transport, 1));
    nothingWasDone(transport);
    transport.close();
  }

  @Test
  void aNotificationRegisterThatIsTooNarrow() throws IOException {
    pci.bare().structure(1, 16, LyingPci.BAR, LyingPci.COMMON, 0x40, 0);
    pci.structure(2, 20, LyingPci.BAR, LyingPci.NOTIFY, 0x100, 2);
    pci.structure(3, 16, LyingPci.BAR, LyingPci.ISR, 1, 0);
    pci.common().lie(LyingPci.NOTIFY_OFF, 1);
    PciDriverTransport transport = open();
    transport.writeDriverFeatures(DATA);
    fails("notified with 4 bytes", () -> find(transport, 1));
    transport.close();
  }

  @Test
  void aMultiplierThatOverflows() throws IOException {
    pci.bare().structure(1, 16, LyingPci.BAR, LyingPci.COMMON, 0x40, 0);
    pci.structure(2, 20, LyingPci.BAR, LyingPci.NOTIFY, 0xffff_ffffL, 0xffff_ffffL);
    pci.structure(3, 16, LyingPci.BAR, LyingPci.ISR, 1, 0);
    pci.common().lie(LyingPci.NOTIFY_OFF, 0xffff);
    PciDriverTransport transport = open();
    fails("queue 0: notified", () -> find(transport, 1));
    pci.common().lie(LyingPci.NOTIFY_OFF, 0);
    DriverQueue queue = find(transport, 1).getFirst();
    assertTrue(queue.notifyDevice());
    LyingPci.Access bell = pci.writes(pci.common(), LyingPci.NOTIFY).getLast();
    assertEquals(2, bell.width());
    assertEquals(0, bell.value());
    transport.close();
  }

  @Test
  void aQueueResetWithoutAnEnd() throws IOException {
    PciDriverTransport transport = open();
    transport.writeDriverFeatures(RESET);
    find(transport, 2);
    pci.common().lie(LyingPci.QUEUE_RESET, 1);
    fails("reset of queue 1 is not done", () -> transport.resetQueue(1));
    pci.common().lie(LyingPci.QUEUE_RESET, 0).lie(LyingPci.QUEUE_ENABLE, 1);
    fails("queue 1: the device has it enabled after its reset", () -> transport.resetQueue(1));
    pci.common().lie(LyingPci.STATUS, 0xff).lie(LyingPci.QUEUE_RESET, 0xffff);
    fails("all ones", () -> transport.resetQueue(1));
    assertEquals(1, told.lost.size());
    transport.close();
  }

  @Test
  @Requirement(
      section =
          "Virtio Over PCI Bus / PCI-specific Initialization And Device Operation / Notification of"
              + " Device Configuration Changes",
      text =
          "A driver MUST handle the case where the same interrupt is used to indicate both device"
              + " configuration space change and one or more virtqueues being used.")
  void oneInterruptForBoth() throws IOException {
    PciDriverTransport transport = open(OPTIONS.withAttempts(Attempt.INTX));
    int[] woken = new int[1];
    QueueOwner counts =
        (QueueOwner)
            Proxy.newProxyInstance(
                QueueOwner.class.getClassLoader(),
                new Class<?>[] {QueueOwner.class},
                (proxy, method, args) -> {
                  woken[0] += method.getName().equals("wakeUp") ? 1 : 0;
                  return method.invoke(owner, args);
                });
    transport.findQueues(List.of(new QueueRequest("counted", 0, 3, broken, counts)));
    for (int bits = 0; bits < 4; bits++) {
      told.changes.set(0);
      woken[0] = 0;
      pci.common().lie(LyingPci.ISR, bits);
      pci.pin.run();
      assertEquals(bits & 1, woken[0]);
      assertEquals(bits >> 1, told.changes.get());
    }
    transport.close();
  }

  @Test
  void anInterruptStatusThatIsNeverCleared() throws IOException {
    PciDriverTransport transport = open(OPTIONS.withAttempts(Attempt.INTX));
    find(transport, 1);
    pci.common().lie(LyingPci.ISR, 0xff);
    for (int i = 1; i <= 3; i++) {
      pci.pin.run();
      assertEquals(i, told.changes.get());
    }
    assertEquals(List.of(), told.lost);
    pci.common().lie(LyingPci.ISR, 0);
    pci.pin.run();
    assertEquals(3, told.changes.get());
    // The same from a function that is gone.
    pci.common().lie(LyingPci.ISR, 0xff).lie(LyingPci.STATUS, 0xff);
    pci.pin.run();
    assertEquals(1, told.lost.size());
    transport.close();
  }

  @Test
  void anInterruptWhoseCauseCannotBeRead() throws IOException {
    PciDriverTransport transport = open(OPTIONS.withAttempts(Attempt.INTX));
    find(transport, 1);
    pci.unreachable = true;
    pci.pin.run();
    assertEquals(1, told.lost.size());
    transport.close();
  }

  @Test
  @Requirement(
      section = VECTORS,
      text =
          "After mapping an event to vector, the driver MUST verify success by reading the Vector"
              + " field value: on success, the previously written value is returned, and on failure,"
              + " NO_VECTOR is returned. If a mapping failure is detected, the driver MAY retry"
              + " mapping with fewer vectors, disable MSI-X or report device failure.")
  void vectorsThatAreRefused() throws IOException {
    PciDriverTransport transport = open();
    int[] tries = new int[1];
    pci.common().keep(LyingPci.QUEUE_VECTOR, v -> v == 2 || tries[0]++ > 1 ? 0xffff : v);
    find(transport, 2);
    // Queue 1 got no vector of its own, then queue 1 none with the other, then the pin.
    assertEquals(List.of(), pci.vectors);
    assertNotNull(pci.pin);
    assertEquals(0xffff, pci.writes(pci.common(), LyingPci.CONFIG_VECTOR).getLast().value());
    assertEquals(0xffff, pci.writes(pci.common(), LyingPci.QUEUE_VECTOR).getLast().value());
    transport.close();
  }

  @Test
  void noInterruptsAtAll() throws IOException {
    PciDriverTransport transport = open();
    pci.common().keep(LyingPci.CONFIG_VECTOR, v -> 0xffff);
    pci.config.set(0x3d, 1, 0);
    fails("MSI-X with a vector for each queue: configuration changes", () -> find(transport, 1));
    fails("INTx: no interrupt pin", () -> find(transport, 1));
    nothingWasDone(transport);
    PciDriverTransport polls = open(OPTIONS.withAttempts());
    assertEquals(1, find(polls, 1).size());
    assertEquals(List.of(), pci.vectors);
    polls.close();
    transport.close();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 0x7ff})
  @Requirement(
      section = VECTORS,
      text =
          "Driver MUST support device with any MSI-X Table Size 0 to 0x7FF. Driver MAY fall back on"
              + " using INT#x interrupts for a device which only supports one MSI-X vector (MSI-X"
              + " Table Size = 0).")
  @Requirement(
      section = VECTORS,
      text =
          "Driver MUST NOT attempt to map an event to a vector outside the MSI-X Table supported by"
              + " the device, as reported by Table Size in the MSI-X Capability.")
  void anyNumberOfVectors(int last) throws IOException {
    pci.config.set(LyingPci.MSIX_AT + 2, 2, last);
    PciDriverTransport transport = open();
    find(transport, 2);
    assertEquals(last == 0 ? 0 : last == 1 ? 2 : 3, pci.vectors.size());
    assertEquals(last == 0, pci.pin != null);
    for (int offset : new int[] {LyingPci.CONFIG_VECTOR, LyingPci.QUEUE_VECTOR}) {
      assertTrue(pci.writes(pci.common(), offset).stream().allMatch(w -> w.value() <= last));
    }
    transport.close();
  }

  @Test
  void queuesWithoutACallbackGetNoVector() throws IOException {
    PciDriverTransport transport = open();
    QueueRequest polled = new QueueRequest("polled", 0, 3, null, owner);
    transport.findQueues(List.of(polled, request()));
    assertEquals(2, pci.vectors.size());
    assertEquals(1, pci.writes(pci.common(), LyingPci.QUEUE_VECTOR).size());
    assertEquals(1, pci.common().get(LyingPci.QUEUE_VECTOR, 2));
    transport.close();
  }

  @Test
  void tooFewVectors() throws IOException {
    PciDriverTransport transport = open();
    pci.common().set(LyingPci.NUM_QUEUES, 2, 3);
    find(transport, 3);
    assertEquals(2, pci.vectors.size()); // of three
    transport.reset();
    transport.deleteQueues();
    pci.systemVectors = 1;
    find(transport, 3);
    assertEquals(0, pci.vectors.size());
    assertNotNull(pci.pin);
    transport.close();
  }

  @Test
  void sharedMemoryThatIsNotInItsBar() throws IOException {
    pci.bars.put(2, pci.new Window(0x1000));
    sharedMemory(1, 0x200, 0x300, 0);
    sharedMemory(2, 0x800, 0x801, 0);
    PciDriverTransport transport = open();
    assertNull(transport.sharedMemoryRegion(3));
    assertEquals(0x300, transport.sharedMemoryRegion(1).segment().byteSize());
    assertEquals(1, transport.sharedMemoryRegion(1).id());
    fails("shared memory region 2", () -> transport.sharedMemoryRegion(2));
    transport.close();
  }

  private void sharedMemory(int id, long offset, long length, long high) {
    int at = pci.structure(8, 24, 2, offset, length, high);
    pci.config.set(at + 5, 1, id).set(at + 20, 4, high);
  }

  @Test
  void sharedMemoryOfTooManyBytes() throws IOException {
    pci.bars.put(2, pci.new Window(0x1000));
    sharedMemory(1, 0x200, 0xffff_ff00L, 0xffff_ffffL);
    PciDriverTransport transport = open();
    fails("shared memory region 1", () -> transport.sharedMemoryRegion(1));
    transport.close();
  }

  @Test
  void aLegacyQueueOutOfReach() throws IOException {
    LyingPci legacy = LyingPci.legacy(1L << 44);
    PciDriverTransport transport = new PciDriverTransport(legacy, OPTIONS);
    assertTrue(transport.isLegacy());
    assertEquals(4, transport.deviceId());
    // Every queue that it is asked for has size 16: there is an end to that.
    assertEquals(1024, transport.queueCount());
    fails("no more than 2^44", () -> transport.findQueues(List.of(request())));
    assertEquals(0, transport.memory().allocated());
    transport.close();
  }

  @Test
  void whatIsNoVirtioDevice() {
    pci.config.set(0, 2, 0x8086);
    fails("no virtio device: 8086:1044", this::open);
    assertTrue(pci.closed);
    pci.config.set(0, 2, 0x1af4).set(2, 2, 0x1080);
    fails("no virtio device: 1af4:1080", this::open);
    pci.config.set(2, 2, 0x1040);
    fails("type 0", this::open);
    pci.config.set(0, 2, 0xffff);
    fails("all ones", this::open);
    pci.unreachable = true;
    fails("the wire is cut", this::open);
  }

  @Test
  void whatHasNotTheInterfaceThatIsWanted() {
    fails("modern device", () -> open(OPTIONS.withChoice(Choice.LEGACY)));
    pci.bare();
    fails("no common configuration", () -> open(OPTIONS.withChoice(Choice.MODERN)));
    fails("modern device", this::open);
    pci.config.set(2, 2, 0x1005).set(0x2e, 2, 4).set(0x10, 4, 0xfe00_0000L);
    fails("BAR 0 is not in I/O space", this::open);
    pci.config.set(0x10, 4, 0xc001);
    fails("there is no BAR 0", this::open);
    pci.bars.put(0, pci.new Window(16));
    fails("BAR 0 has 16 bytes", this::open);
  }
}
