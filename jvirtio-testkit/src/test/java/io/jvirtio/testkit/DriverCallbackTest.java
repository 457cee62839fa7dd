// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Who wakes whom: kick and callback of the driver's split queue. */
class DriverCallbackTest {
  /** Lets both indexes move on to a place, with one buffer at a time. */
  private static void advance(QueuePair pair, int buffers) throws PeerFault {
    for (int i = 0; i < buffers; i++) {
      assertTrue(pair.add(i, 1, 0));
      pair.queue.kickPrepare();
      assertEquals(1, pair.useAll());
      assertEquals(i, pair.queue.get());
    }
  }

  @ParameterizedTest
  @EnumSource
  void aKickIsInTwoHalves(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      assertFalse(pair.queue.kickPrepare(), "nothing to publish");
      assertTrue(pair.queue.kick(), "nothing to publish, but nothing wrong either");
      assertEquals(0, pair.notified);
      assertTrue(pair.add("a", 1, 0));
      assertTrue(pair.add("b", 1, 0));
      assertTrue(pair.queue.kickPrepare());
      assertEquals(2, pair.device.available(), "published by the first half");
      assertEquals(0, pair.notified, "sent by the second half");
      assertTrue(pair.queue.notifyDevice());
      assertEquals(1, pair.notified);
      assertFalse(pair.queue.kickPrepare(), "published already");
      assertEquals(1, pair.queue.counters().notificationsSent());
      assertEquals(0, pair.queue.counters().notificationsSuppressed());
    }
  }

  @Test
  @Requirement(
      section = "Split Virtqueues / Available Buffer Notification Suppression",
      text =
          "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: The driver MUST ignore the"
              + " avail_event value.")
  @Requirement(
      section = "Split Virtqueues / Available Buffer Notification Suppression",
      text =
          "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: After the driver writes a"
              + " descriptor index into the available ring: If flags is 0, the driver MUST send a"
              + " notification.")
  @Requirement(
      section = "Split Virtqueues / Available Buffer Notification Suppression",
      text =
          "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: After the driver writes a"
              + " descriptor index into the available ring: If flags is 1, the driver SHOULD NOT"
              + " send a notification.")
  void withoutEventIndexTheFlagsDecide() throws PeerFault {
    for (DriverSession session : new DriverSession[] {DriverSession.PLAIN, DriverSession.LEGACY}) {
      try (QueuePair pair = new QueuePair(session, 8)) {
        for (int event : new int[] {0, 1, 7, 0x7fff, 0xffff}) {
          pair.device.ring().availEvent(event);
          pair.device.disableNotifications();
          assertEquals(1, pair.device.ring().usedFlags());
          int before = pair.notified;
          pair.submit("quiet");
          assertEquals(before, pair.notified);
          assertTrue(pair.device.available() == 1);
          pair.useAll();
          assertTrue(pair.device.enableNotifications());
          pair.submit("loud");
          assertEquals(before + 1, pair.notified);
          pair.useAll();
          assertEquals(2, pair.getAll().size());
        }
        assertEquals(5, pair.queue.counters().notificationsSent());
        assertEquals(5, pair.queue.counters().notificationsSuppressed());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 3, 32764, 65533})
  @Requirement(
      section = "Split Virtqueues / Available Buffer Notification Suppression",
      text =
          "Otherwise, if the VIRTIO_F_EVENT_IDX feature bit is negotiated: The driver MUST ignore"
              + " the lower bit of flags.")
  @Requirement(
      section = "Split Virtqueues / Available Buffer Notification Suppression",
      text =
          "Otherwise, if the VIRTIO_F_EVENT_IDX feature bit is negotiated: After the driver writes"
              + " a descriptor index into the available ring: If the idx field in the available"
              + " ring (which determined where that descriptor index was placed) was equal to"
              + " avail_event, the driver MUST send a notification.")
  @Requirement(
      section = "Split Virtqueues / Available Buffer Notification Suppression",
      text =
          "Otherwise, if the VIRTIO_F_EVENT_IDX feature bit is negotiated: After the driver writes"
              + " a descriptor index into the available ring: Otherwise the driver SHOULD NOT send"
              + " a notification.")
  void withEventIndexTheEventDecides(int start) throws PeerFault {
    for (DriverSession session :
        new DriverSession[] {DriverSession.EVENT_IDX, DriverSession.LEGACY_BIG_ENDIAN}) {
      try (QueuePair pair = new QueuePair(session, 8)) {
        advance(pair, start);
        int at = start;
        for (int batch = 1; batch <= 4; batch++) {
          for (int ahead = -2; ahead <= 6; ahead++) {
            pair.device.ring().availEvent(at + ahead);
            pair.device.ring().usedFlags((at + ahead) & 1);
            for (int i = 0; i < batch; i++) {
              assertTrue(pair.add(i, 1, 0));
            }
            boolean due = ahead >= 0 && ahead < batch;
            assertEquals(due, pair.queue.kickPrepare(), at + " + " + batch + ", event " + ahead);
            pair.useAll();
            assertEquals(batch, pair.getAll().size());
            at += batch;
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  @Requirement(
      section = "Split Virtqueues / Used Buffer Notification Suppression",
      text =
          "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: The driver MUST set flags to 0"
              + " or 1.")
  @Requirement(
      section = "Split Virtqueues / Used Buffer Notification Suppression",
      text =
          "Otherwise, if the VIRTIO_F_EVENT_IDX feature bit is negotiated: The driver MUST set"
              + " flags to 0.")
  void callbacksAreAskedForAndNot(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      RawRing ring = pair.device.ring();
      pair.submit("first");
      assertEquals(0, ring.availFlags());
      assertTrue(pair.device.use(pair.device.take(), 0), "asked for from the start");
      assertEquals("first", pair.queue.get());
      for (int i = 0; i < 70_000; i++) {
        pair.queue.disableCallback();
        pair.queue.disableCallback();
        assertEquals(session.hasEventIdx() ? 0 : 1, ring.availFlags());
        pair.submit("a");
        pair.submit("b");
        assertFalse(pair.device.use(pair.device.take(), 0));
        assertEquals("a", pair.queue.get());
        assertFalse(pair.device.use(pair.device.take(), 0));
        assertEquals("b", pair.queue.get());
        assertTrue(pair.queue.enableCallback());
        assertEquals(0, ring.availFlags());
        pair.submit("c");
        assertTrue(pair.device.use(pair.device.take(), 0));
        assertEquals("c", pair.queue.get());
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void whoTakesWithTheCallbackEnabledHearsOfTheNext(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      for (int i = 0; i < 5; i++) {
        pair.submit(i);
        assertTrue(pair.device.use(pair.device.take(), 0));
        assertEquals(i, pair.queue.get());
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void noUsedBufferIsLostBetweenTheLastGetAndTheEnable(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.queue.disableCallback();
      pair.submit("before");
      assertFalse(pair.device.use(pair.device.take(), 0));
      assertFalse(pair.queue.enableCallback(), "there is one already");
      assertEquals("before", pair.queue.get());
      pair.queue.disableCallback();
      pair.submit("between");
      int position = pair.queue.prepareCallback();
      assertFalse(pair.queue.hasUsedSince(position));
      boolean notified = pair.device.use(pair.device.take(), 0);
      assertTrue(notified, "asked for by the first half");
      assertTrue(pair.queue.hasUsedSince(position));
      assertEquals("between", pair.queue.get());
      pair.queue.disableCallback();
      pair.submit("after");
      assertTrue(pair.queue.enableCallback());
      assertTrue(pair.device.use(pair.device.take(), 0));
      assertEquals("after", pair.queue.get());
      assertNull(pair.queue.get());
      // With one taken from a batch and the rest still there.
      pair.queue.disableCallback();
      pair.submit("one");
      pair.submit("two");
      assertEquals(2, pair.useAll());
      assertEquals("one", pair.queue.get());
      assertTrue(pair.queue.hasUsed());
      assertFalse(pair.queue.enableCallback());
      assertEquals("two", pair.queue.get());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 65533})
  void aDelayedCallbackComesAfterMostBuffers(int start) throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.EVENT_IDX, 32)) {
      advance(pair, start);
      pair.queue.disableCallback();
      for (int i = 0; i < 8; i++) {
        pair.submit(i);
      }
      assertTrue(pair.add("not published", 1, 0));
      assertTrue(pair.queue.enableCallbackDelayed());
      for (int i = 0; i < 8; i++) {
        assertEquals(i == 6, pair.device.use(pair.device.take(), 0), "use of " + i);
      }
      assertFalse(pair.queue.enableCallbackDelayed(), "all have come back");
      assertEquals(8, pair.getAll().size());
      pair.queue.kick();
      assertTrue(pair.queue.enableCallbackDelayed());
      assertTrue(pair.device.use(pair.device.take(), 0), "the only one");
      assertEquals("not published", pair.queue.get());
      assertTrue(pair.queue.enableCallbackDelayed(), "nothing in flight");
    }
  }

  @Test
  void aDelayedCallbackThatIsLateSaysSo() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.EVENT_IDX, 16)) {
      for (int used = 0; used <= 8; used++) {
        pair.queue.disableCallback();
        for (int i = 0; i < 8; i++) {
          pair.submit(i);
        }
        for (int i = 0; i < used; i++) {
          pair.device.use(pair.device.take(), 0);
        }
        assertEquals(used <= 6, pair.queue.enableCallbackDelayed(), used + " of 8");
        pair.useAll();
        assertEquals(8, pair.getAll().size());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"PLAIN", "LEGACY", "PACKED"})
  void withoutEventIndexADelayedCallbackIsNotDelayed(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 16)) {
      pair.queue.disableCallback();
      pair.submit("a");
      pair.submit("b");
      assertTrue(pair.queue.enableCallbackDelayed());
      assertTrue(pair.device.use(pair.device.take(), 0));
      assertFalse(pair.queue.enableCallbackDelayed());
    }
  }

  @ParameterizedTest
  @EnumSource
  @Requirement(
      section = "Split Virtqueues / Used Buffer Notification Suppression",
      text = "The driver MUST handle spurious notifications from the device.")
  void aCallbackForNothingFindsNothing(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      for (int i = 0; i < 3; i++) {
        assertFalse(pair.queue.hasUsed());
        pair.queue.disableCallback();
        assertNull(pair.queue.get());
        assertTrue(pair.queue.enableCallback());
      }
      pair.submit("in flight");
      assertNull(pair.queue.get());
      assertTrue(pair.queue.enableCallback());
      assertEquals(1, pair.useAll());
      assertEquals("in flight", pair.queue.get());
      assertNull(pair.queue.get());
      assertFalse(pair.queue.isBroken());
    }
  }

  @Test
  void aDeviceThatCannotBeNotifiedBreaksTheQueue() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 8)) {
      pair.submit("in flight");
      pair.notifier =
          queue -> {
            throw new IOException("connection reset");
          };
      assertTrue(pair.add("lost", 1, 0));
      assertFalse(pair.queue.kick());
      assertEquals(FaultReason.DEVICE_GONE, pair.queue.fault().reason());
      assertThrows(PeerFault.class, pair.queue::get);
      assertFalse(pair.queue.kick());
      assertFalse(pair.queue.notifyDevice());
      assertEquals(2, pair.detachAll().size());
    }
  }

  @Test
  void aBrokenQueuePublishesAndNotifiesNothing() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 8)) {
      assertTrue(pair.add("never seen", 1, 0));
      pair.queue.breakQueue(new PeerFault(FaultReason.DEVICE_SILENT, 0));
      assertFalse(pair.queue.kickPrepare());
      assertFalse(pair.queue.kick());
      assertFalse(pair.queue.notifyDevice());
      assertEquals(0, pair.device.available());
      assertEquals(0, pair.notified);
    }
  }
}
