// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What an available buffer notification says (virtio 1.4, Driver Notifications). */
class NotificationDataTest {
  private static final FeatureBits DATA =
      Features.MODERN.with(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA);
  private static final FeatureBits CONFIG_DATA =
      Features.MODERN.with(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA);

  /** Three queues, with names of its own for them. */
  private record Named(int... names) implements VirtioDevice {
    @Override
    public int deviceId() {
      return PuppetDevice.DEVICE_ID;
    }

    @Override
    public int queueCount() {
      return names.length;
    }

    @Override
    public int notificationConfigData(int queue) {
      return names[queue];
    }

    @Override
    public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
      return ready -> {};
    }
  }

  /** A notification says where the next buffer comes, whatever was added since. */
  @ParameterizedTest
  @EnumSource
  @Requirement(
      section = "Packed Virtqueues / The Virtqueue Descriptor Table",
      text =
          "When notifying the device, driver MUST set next_off and next_wrap to match the next"
              + " descriptor not yet made available to the device.")
  void theDriverTellsWhereTheNextBufferComes(DriverSession session) throws PeerFault {
    int size = session.isPacked() ? 7 : 8;
    try (QueuePair pair = new QueuePair(session, size)) {
      int next = session.isPacked() ? 0x8000 : 0;
      for (int i = 0; i < 70_000; i++) {
        assertEquals(next << 16 | 3, pair.queue.notificationData());
        assertTrue(pair.add("one", 1, 0));
        assertEquals(next << 16 | 3, pair.queue.notificationData(), "not published");
        pair.queue.kick();
        if (session.isPacked()) {
          next = (next & 0x7fff) == size - 1 ? (next & 0x8000) ^ 0x8000 : next + 1;
        } else {
          next = (next + 1) & 0xffff;
        }
        assertEquals(next << 16 | 3, pair.queue.notificationData());
        assertEquals(next << 16 | 0xbeef, pair.queue.notificationData(0xbeef));
        pair.device.use(pair.device.take(), 0);
        pair.device.publish();
        assertEquals("one", pair.queue.get());
      }
    }
  }

  @Test
  void theDeviceUnderstandsIt() throws PeerFault {
    try (DeviceBench bench = bench(DATA, 4, 5, 6)) {
      DeviceHost host = bench.host();
      assertEquals(-1, host.notificationData(1));
      assertEquals(1, host.notified(0x8003_0001));
      assertEquals(0x8003, host.notificationData(1));
      assertEquals(-1, host.notificationData(0));
      assertEquals(2, host.notified(2));
      assertEquals(0, host.notificationData(2));
      // More than there are, of queues; of what is behind, anything goes.
      assertEquals(-1, host.notified(0x8003_0003));
      assertEquals(-1, host.notified(4));
      assertEquals(0, host.notified(0xffff_0000));
      assertEquals(2, host.faults());
      assertEquals(0, bench.configurationChanges());
      bench.reset();
      assertEquals(-1, host.notificationData(1));
      assertThrows(PeerFault.class, () -> host.notificationData(3));
      assertThrows(PeerFault.class, () -> host.notificationConfigData(-1));
    }
  }

  @Test
  void theDeviceChoosesHowItsQueuesAreCalled() throws PeerFault {
    try (DeviceBench bench = bench(CONFIG_DATA, 0xffff, 0, 77)) {
      DeviceHost host = bench.host();
      assertEquals(0xffff, host.notificationConfigData(0));
      assertEquals(0, host.notified(0xffff));
      assertEquals(1, host.notified(0));
      assertEquals(2, host.notified(77));
      for (int stranger : new int[] {1, 2, 78, -1, 0x1_0000, 0x1_004d}) {
        assertEquals(-1, host.notified(stranger));
      }
      assertEquals(6, host.faults());
      bench.reset();
      // Not negotiated: by index again.
      assertEquals(2, host.notified(2));
      assertEquals(-1, host.notified(77));
    }
    try (DeviceBench bench = bench(DATA.or(CONFIG_DATA), 9, 8, 7)) {
      assertEquals(1, bench.host().notified(0x1234_0008));
      assertEquals(0x1234, bench.host().notificationData(1));
      assertEquals(-1, bench.host().notified(0x1234_0001));
    }
  }

  @Test
  void namesMustTellQueuesApart() {
    for (int bad : new int[] {5, -1, 0x1_0000}) {
      assertThrows(IllegalArgumentException.class, () -> bench(DATA, 5, bad));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void anyValueIsHarmless(boolean data) throws PeerFault {
    PuppetDevice device = new PuppetDevice(2, 8);
    FeatureBits features = data ? DATA : Features.MODERN;
    try (DeviceBench bench = DeviceBench.of(device).ringFeatures(features).start()) {
      Random random = new Random(1);
      long faults = 0;
      for (int i = 0; i < 100_000; i++) {
        int queue = bench.host().notified(random.nextInt());
        assertTrue(queue >= -1 && queue < 2);
        faults += queue < 0 ? 1 : 0;
      }
      assertEquals(faults, bench.host().faults());
      assertTrue(faults > 0);
      assertEquals(0, bench.configurationChanges());
      assertFalse(bench.driver(1).isPacked());
      bench.driver(1).chain().readable((byte) 1).writable(1).submit();
      bench.run();
      assertEquals(1, bench.driver(1).poll().length());
    }
  }

  private static DeviceBench bench(FeatureBits features, int... names) {
    return DeviceBench.of(new Named(names)).ringFeatures(features).start();
  }
}
