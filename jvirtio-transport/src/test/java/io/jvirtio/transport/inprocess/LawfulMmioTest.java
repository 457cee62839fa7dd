// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.mmio.MmioDriverOptions;
import io.jvirtio.transport.mmio.MmioDriverTransport;
import io.jvirtio.transport.mmio.MmioOptions;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The mmio driver makes no access that the specification forbids, whatever it does. */
class LawfulMmioTest {
  private static final String LAYOUT = "Virtio Over MMIO / MMIO Device Register Layout";
  private static final String OPERATION =
      "Virtio Over MMIO / MMIO-specific Initialization And Device Operation";
  private static final String INITIALIZATION = OPERATION + " / Device Initialization";
  private static final String LEGACY = "Virtio Over MMIO / Legacy interface";
  private static final String EVENTS = OPERATION + " / Notifications From The Device";

  /** An mmio device whose registers are watched. */
  private static final class Watched implements RegisterKind {
    private final boolean legacy;
    LawfulMmio law;

    Watched(int version) {
      legacy = version == 1;
    }

    @Override
    public boolean isLegacy() {
      return legacy;
    }

    @Override
    public boolean bigEndian() {
      return false;
    }

    @Override
    public RegisterPair plug(EchoDevice device, QueueOwner owner, boolean inline)
        throws IOException {
      MmioOptions usual = legacy ? MmioOptions.legacy() : MmioOptions.defaults();
      FeatureBits data = FeatureBits.of(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA);
      InProcessMmio place =
          new InProcessMmio(device, owner, usual.withRingFeatures(usual.ringFeatures().or(data)));
      law = new LawfulMmio(place, legacy);
      return new RegisterPair(
          new MmioDriverTransport(law, MmioDriverOptions.defaults()),
          place.device().host(),
          place.device().counters(),
          place::remove);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  @Requirement(
      section = LAYOUT,
      text =
          "The driver MUST NOT access memory locations not described in the table MMIO Device"
              + " Register Layout (or, in case of the configuration space, described in the device"
              + " specification), MUST NOT write to the read-only registers (direction R) and MUST"
              + " NOT read from the write-only registers (direction W).")
  @Requirement(
      section = LAYOUT,
      text =
          "Before reading from DeviceFeatures, the driver MUST write a value to DeviceFeaturesSel.")
  @Requirement(
      section = LAYOUT,
      text =
          "Before writing to the DriverFeatures register, the driver MUST write a value to the"
              + " DriverFeaturesSel register.")
  @Requirement(
      section = LAYOUT,
      text =
          "The driver MUST write a value to QueueSize which is less than or equal to the value"
              + " presented by the device in QueueSizeMax.")
  @Requirement(
      section = LAYOUT,
      text =
          "When QueueReady is not zero, the driver MUST NOT access QueueSize, QueueDescLow,"
              + " QueueDescHigh, QueueDriverLow, QueueDriverHigh, QueueDeviceLow, QueueDeviceHigh.")
  @Requirement(
      section = LAYOUT,
      text =
          "To stop using the queue the driver MUST write zero (0x0) to this QueueReady and MUST read"
              + " the value back to ensure synchronization.")
  @Requirement(
      section = EVENTS,
      text =
          "The used buffer notification bit being set SHOULD be interpreted as a used buffer"
              + " notification for each active virtqueue.")
  @Requirement(
      section = EVENTS,
      text =
          "After receiving an interrupt, the driver MUST read InterruptStatus to check what caused"
              + " the interrupt (see the register description).")
  @Requirement(
      section = EVENTS,
      text =
          "After the interrupt is handled, the driver MUST acknowledge it by writing a bit mask"
              + " corresponding to the handled events to the InterruptACK register.")
  @Requirement(
      section = LEGACY,
      text = "When the driver stops using the queue it writes zero (0x0) to this register.")
  @Requirement(
      section = LEGACY,
      text =
          "The virtqueue page size is defined by writing to GuestPageSize, as written by the guest."
              + " The driver does this before the virtqueues are configured.")
  @Requirement(
      section = INITIALIZATION,
      text = "Drivers not expecting shared memory MUST NOT use the shared memory registers.")
  void keepsTheLaw(int version) throws IOException {
    Watched kind = new Watched(version);
    FeatureBits packed = FeatureBits.of(ReservedFeatures.VIRTIO_F_RING_PACKED);
    try (RegisterBench bench = RegisterBench.inline(kind, 2)) {
      for (FeatureBits without : List.of(FeatureBits.NONE, packed)) {
        bench.startWithout(10, without);
        bench.sendAndAwait(1000);
        bench.device.config().change(() -> bench.device.config().set("capacity", 3));
        bench.transport.readConfig(0, new byte[8]);
        bench.transport.writeConfig(8, new byte[2]);
        bench.transport.queueMaxSize(0);
        if (version == 2) {
          bench.transport.resetQueue(1);
          bench.transport.enableQueue(1, 8);
        }
        bench.sendAndAwait(1000);
        kind.law.enabling.clear();
        bench.transport.reset();
        assertEquals(List.of(List.of(0L, 0L), List.of(1L, 0L)), kind.law.enabling);
        bench.transport.deleteQueues();
      }
    }
    assertEquals(List.of(), kind.law.crimes);
    assertTrue(kind.law.interrupts > 0);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  @Requirement(
      section = INITIALIZATION,
      text = "Further initialization MUST follow the procedure described in Device Initialization")
  void goesOnAsOnAnyTransport(int version) throws IOException {
    Watched kind = new Watched(version);
    try (RegisterBench bench = RegisterBench.inline(kind, 2);
        DriverDevice found = new DriverDevice(bench.transport)) {
      found.start(new EchoType(2, bench.owner));
      assertEquals(
          version == 1 ? List.of(0L, 1L, 3L, 7L) : List.of(0L, 1L, 3L, 0xbL, 0xfL),
          kind.law.statuses);
      assertEquals(List.of(List.of(0L), List.of(1L)), queues(kind.law.enabling));
    }
    assertEquals(List.of(), kind.law.crimes);
  }

  private static List<List<Long>> queues(List<List<Long>> enabling) {
    return enabling.stream().map(one -> one.subList(0, 1)).toList();
  }
}
