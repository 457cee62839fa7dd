// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the host must hold against its drivers and its devices. */
class HostFaultsTest {
  /** As small as a device can be: no configuration space, one queue. */
  private record Small(Supplier<QueueHandler> handler, FeatureBits features, int queueSize)
      implements VirtioDevice {
    Small(Supplier<QueueHandler> handler) {
      this(handler, FeatureBits.NONE, 8);
    }

    @Override
    public int deviceId() {
      return 1;
    }

    @Override
    public int queueCount() {
      return 1;
    }

    @Override
    public int queueMaxSize(int queue) {
      return queueSize;
    }

    @Override
    public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
      return handler.get();
    }
  }

  /** Does nothing, and fails where it is told to. */
  private record Failing(boolean inArm, boolean inStopped) implements QueueHandler {
    @Override
    public void available(DeviceQueue queue) {}

    @Override
    public boolean arm() {
      if (inArm) {
        throw new IllegalStateException("a bug in arm, as the test wants it");
      }
      return true;
    }

    @Override
    public void stopped() {
      if (inStopped) {
        throw new IllegalStateException("a bug in stopped, as the test wants it");
      }
    }
  }

  @Test
  void aBrokenQueueStaysBrokenWhenMemoryIsReplaced() {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      bench.driver(0).addHead(0xffff);
      bench.driver(0).publish();
      bench.run();
      assertEquals(1, bench.host().faults());
      bench.replaceMemory(bench.memory().snapshot());
      bench.run();
      assertEquals(1, bench.host().faults());
      assertEquals(1, device.started.size());
      bench.restart();
      bench.driver(0).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertEquals(1, bench.driver(0).poll().length());
    }
  }

  @Test
  @Requirement(
      section = "Device Suspend",
      text =
          "The device MUST ignore any operations on the SUSPEND bit from the driver if the device"
              + " has not been completely initialized by the procedures in Device Initialization")
  void bitsOfTheStatusThatMeanNothingHereAreIgnored() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing(8)).build()) {
      int nothing = DeviceStatus.SUSPEND | 0x20 | 0x100;
      bench.host().writeStatus(nothing);
      assertEquals(0, bench.host().status());
      bench.start();
      bench.host().writeStatus(bench.host().status() | nothing);
      assertEquals(15, bench.host().status());
    }
  }

  @Test
  void aBugInArmBreaksTheQueue() {
    try (DeviceBench bench = DeviceBench.of(new Small(() -> new Failing(true, false))).start()) {
      bench.run();
      assertEquals(FaultReason.DEVICE_ERROR, bench.brokenReason(0));
      assertEquals(1, bench.host().faults());
    }
  }

  @Test
  void aBugInStoppedHoldsNothingUp() {
    try (DeviceBench bench =
        DeviceBench.of(new Small(() -> new Failing(false, true))).threaded().start()) {
      bench.reset();
      assertEquals(1, bench.host().faults());
      assertEquals(0, bench.host().status());
      bench.start();
      assertNull(bench.brokenReason(0));
    }
  }

  @Test
  void anErrorAtTheStartBreaksTheQueue() {
    Supplier<QueueHandler> none =
        () -> {
          throw new AssertionError("an error at the start, as the test wants it");
        };
    try (DeviceBench bench = DeviceBench.of(new Small(none)).start()) {
      assertEquals(FaultReason.DEVICE_ERROR, bench.brokenReason(0));
    }
  }

  @Test
  void devicesWithoutConfigurationHaveNothingInCommon() {
    Small device = new Small(() -> new Failing(false, false));
    try (DeviceBench one = DeviceBench.of(device).start();
        DeviceBench other = DeviceBench.of(device).start()) {
      one.host().config().change(() -> {});
      assertEquals(0, one.configurationChanges());
      assertEquals(0, other.configurationChanges());
    }
  }

  @ParameterizedTest
  @CsvSource({
    "SPLIT, 1, 1",
    "SPLIT, 7, 4",
    "SPLIT, 32767, 16384",
    "PACKED, 7, 7",
    "PACKED, 32767, 32767"
  })
  void aQueueHasAnySizeThatItsFormatAllows(RingFormat format, int stated, int shown)
      throws PeerFault {
    DeviceBench.Builder builder = DeviceBench.of(PuppetDevice.echoing(stated));
    try (DeviceBench bench = (format == RingFormat.PACKED ? builder.packed() : builder).start()) {
      assertEquals(shown, bench.host().queueMaxSize(0));
      assertEquals(shown, bench.driver(0).size());
      for (int i = 0; i < 20; i++) {
        bench.driver(0).chain().readable((byte) i).submit();
        bench.run();
        assertEquals(1, bench.driver(0).pollAll().size());
      }
    }
  }

  @Test
  void aDeviceThatOffersWhatIsTheHostsOrNoValidQueueIsRefused() {
    Supplier<QueueHandler> handler = () -> new Failing(false, false);
    FeatureBits packed = FeatureBits.of(ReservedFeatures.VIRTIO_F_RING_PACKED);
    assertThrows(
        IllegalArgumentException.class,
        () -> DeviceBench.of(new Small(handler, packed, 8)).build());
    for (int size : new int[] {-1, 0, 32769, 65536}) {
      assertThrows(
          IllegalArgumentException.class,
          () -> DeviceBench.of(new Small(handler, FeatureBits.NONE, size)).build());
    }
  }
}
