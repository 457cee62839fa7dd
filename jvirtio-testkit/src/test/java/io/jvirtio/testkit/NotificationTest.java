// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT;
import static io.jvirtio.spec.SplitRing.VIRTQ_USED_F_NO_NOTIFY;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** When each side notifies the other. */
class NotificationTest {
  private static final String USED = "Split Virtqueues / Used Buffer Notification Suppression";
  private static final String AVAILABLE =
      "Split Virtqueues / Available Buffer Notification Suppression";

  private static final long PATIENCE = Duration.ofSeconds(30).toNanos();

  private static final List<FeatureBits> FORMATS =
      List.of(
          Features.MODERN,
          Features.EVENT_IDX,
          Features.MODERN.with(ReservedFeatures.VIRTIO_F_RING_PACKED),
          Features.EVENT_IDX.with(ReservedFeatures.VIRTIO_F_RING_PACKED));

  private static void send(DeviceBench bench, int buffers) {
    ScriptedDriver driver = bench.driver(0);
    for (int i = 0; i < buffers; i++) {
      driver.chain().readableAt(64, 1).add();
    }
    driver.publish();
    bench.run();
    assertEquals(buffers, driver.pollAll().size());
  }

  @Test
  void aNotificationWaitsUntilTheHandlerAllowsIt() {
    for (FeatureBits features : FORMATS) {
      PuppetDevice device = PuppetDevice.echoing();
      try (DeviceBench bench = DeviceBench.of(device).features(features).start()) {
        AtomicInteger asked = new AtomicInteger();
        device.mayNotify =
            () -> {
              assertEquals(0, bench.notifications(0));
              assertEquals(1, bench.driver(0).pending(), "published before");
              return asked.incrementAndGet() == 4;
            };
        bench.driver(0).chain().readableAt(64, 1).submit();
        bench.run();
        assertEquals(4, asked.get());
        assertEquals(1, bench.notifications(0), "once");
        // One that is never allowed does not keep the queue from ending.
        device.mayNotify = () -> asked.incrementAndGet() > 100;
        bench.driver(0).chain().readableAt(64, 1).submit();
        bench.host().writeStatus(0);
        assertEquals(0, bench.host().status());
      }
    }
  }

  @Test
  @Requirement(
      section = USED,
      text =
          "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: The device MUST ignore the"
              + " used_event value.")
  @Requirement(
      section = USED,
      text =
          "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: After the device writes a"
              + " descriptor index into the used ring: If flags is 0, the device MUST send a"
              + " notification.")
  void withoutEventIdxTheFlagsDecideAndUsedEventIsIgnored() {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing()).features(Features.MODERN).start()) {
      RawRing ring = bench.driver(0).ring();
      for (int i = 0; i < 100; i++) {
        // Wherever used_event stands: far away, or at the very entry.
        ring.usedEvent(i % 2 == 0 ? 0x8000 : bench.driver(0).nextUsed());
        ring.availFlags(0);
        int before = bench.notifications(0);
        send(bench, 1);
        assertEquals(before + 1, bench.notifications(0));
        ring.availFlags(VIRTQ_AVAIL_F_NO_INTERRUPT);
        send(bench, 1);
        assertEquals(before + 1, bench.notifications(0));
      }
    }
  }

  @Test
  @Requirement(
      section = USED,
      text =
          "Otherwise, if the VIRTIO_F_EVENT_IDX feature bit is negotiated: The device MUST ignore"
              + " the lower bit of flags.")
  @Requirement(
      section = USED,
      text =
          "Otherwise, if the VIRTIO_F_EVENT_IDX feature bit is negotiated: After the device writes"
              + " a descriptor index into the used ring: If the idx field in the used ring (which"
              + " determined where that descriptor index was placed) was equal to used_event, the"
              + " device MUST send a notification.")
  void withEventIdxUsedEventDecidesAndTheFlagsAreIgnored() {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing()).features(Features.EVENT_IDX).start()) {
      RawRing ring = bench.driver(0).ring();
      int sent = 0;
      while (sent < 66_000) {
        int batch = 1 + sent % 5;
        // The event stands before the batch, at each of its entries in turn, and behind it.
        int offset = sent % (batch + 2) - 1;
        ring.usedEvent((sent + offset) & 0xffff);
        ring.availFlags(sent & 1);
        int before = bench.notifications(0);
        send(bench, batch);
        boolean due = offset >= 0 && offset < batch;
        assertEquals(due ? 1 : 0, bench.notifications(0) - before, "after " + sent);
        sent += batch;
      }
    }
  }

  @Test
  void aBatchIsPublishedAndNotifiedOnce() {
    List<Integer> idx = new ArrayList<>();
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = DeviceBench.of(device).features(Features.MODERN).start()) {
      ScriptedDriver driver = bench.driver(0);
      device.action =
          (queue, chain) -> {
            PuppetDevice.echo(queue, chain);
            idx.add(driver.ring().usedIdx());
          };
      send(bench, 5);
      assertEquals(List.of(0, 0, 0, 0, 0), idx);
      assertEquals(5, driver.ring().usedIdx());
      assertEquals(1, bench.notifications(0));
      QueueCounters counters = device.started.getFirst().counters();
      assertEquals(5, counters.chains());
      assertEquals(5, counters.used());
      assertEquals(1, counters.notificationsSent());
      assertEquals(0, counters.notificationsSuppressed());
      driver.disableNotifications();
      send(bench, 3);
      assertEquals(1, counters.notificationsSent());
      assertEquals(1, counters.notificationsSuppressed());
    }
  }

  @Test
  @Requirement(
      section = AVAILABLE,
      text =
          "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: The device MUST set flags to 0"
              + " or 1.")
  void withoutEventIdxTheFlagsAskForNotificationsWhileTheDeviceSleeps() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = DeviceBench.of(device).features(Features.MODERN).start()) {
      ScriptedDriver driver = bench.driver(0);
      List<Integer> flags = new ArrayList<>();
      device.action =
          (queue, chain) -> {
            flags.add(driver.ring().usedFlags());
            PuppetDevice.echo(queue, chain);
          };
      bench.run();
      assertEquals(0, driver.ring().usedFlags());
      driver.chain().readableAt(64, 1).add();
      assertTrue(driver.publish());
      bench.run();
      assertEquals(List.of(VIRTQ_USED_F_NO_NOTIFY), flags);
      assertEquals(0, driver.ring().usedFlags());
      assertEquals(0, driver.ring().availEvent());
    }
  }

  @Test
  @Requirement(
      section = AVAILABLE,
      text =
          "Otherwise, if the VIRTIO_F_EVENT_IDX feature bit is negotiated: The device MUST set"
              + " flags to 0.")
  void withEventIdxTheFlagsStay0AndAvailEventAsks() {
    PuppetDevice device = PuppetDevice.echoing();
    try (DeviceBench bench = DeviceBench.of(device).features(Features.EVENT_IDX).start()) {
      ScriptedDriver driver = bench.driver(0);
      device.action =
          (queue, chain) -> {
            assertEquals(0, driver.ring().usedFlags());
            PuppetDevice.echo(queue, chain);
          };
      bench.run();
      for (int sent = 0; sent < 66_000; sent += 3) {
        assertEquals(sent & 0xffff, driver.ring().availEvent());
        driver.chain().readableAt(64, 1).add();
        assertTrue(driver.publish());
        // The device is awake from here on as far as the driver knows.
        driver.chain().readableAt(64, 1).add();
        driver.chain().readableAt(64, 1).add();
        assertFalse(driver.publish());
        bench.run();
        assertEquals(3, driver.pollAll().size());
        assertEquals(0, driver.ring().usedFlags());
      }
    }
  }

  @Test
  @Requirement(
      section = AVAILABLE,
      text = "The device MUST handle spurious notifications from the driver.")
  void spuriousNotificationsDoNothing() {
    for (var features : FORMATS) {
      try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing()).features(features).start()) {
        for (int i = 0; i < 10; i++) {
          bench.run();
          assertNull(bench.driver(0).poll());
        }
        send(bench, 2);
        bench.run();
        assertNull(bench.driver(0).poll());
        assertEquals(0, bench.host().faults());
        assertEquals(1, bench.notifications(0));
      }
    }
  }

  @Test
  void aBufferThatArrivesWhileNotificationsAreEnabledIsNotMissed() {
    PuppetDevice device = PuppetDevice.echoing();
    for (var features : FORMATS) {
      try (DeviceBench bench = DeviceBench.of(device).features(features).start()) {
        DeviceQueue queue = device.started.getLast();
        assertTrue(queue.enableNotifications());
        bench.driver(0).chain().readableAt(64, 1).submit();
        assertFalse(queue.enableNotifications());
      }
    }
  }

  @Test
  void aThreadedDeviceIsWokenByNotificationsAlone() {
    for (var features : FORMATS) {
      try (DeviceBench bench =
          DeviceBench.of(PuppetDevice.echoing()).features(features).threaded().start()) {
        ScriptedDriver driver = bench.driver(0);
        int kicks = 0;
        int received = 0;
        for (int i = 0; i < 50_000; i++) {
          driver.chain().readableAt(64, 1).add();
          if (driver.publish()) {
            ((ThreadOwner) bench.owner()).wake();
            kicks++;
          }
          // Nothing else wakes the device: a lost notification shows here.
          int wanted = i % 64 == 0 ? i + 1 : i - driver.size() / 2;
          long start = System.nanoTime();
          while (received < wanted) {
            received += driver.pollAll().size();
            assertTrue(System.nanoTime() - start < PATIENCE, "a notification is lost");
            Thread.onSpinWait();
          }
        }
        assertTrue(kicks > 0 && kicks <= 50_000);
      }
    }
  }
}
