// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DESC;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DISABLE;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_ENABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.PackedRing;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Who wakes whom in a packed ring: the event suppression structures of both sides. */
class PackedCallbackTest {
  private static final String SESSIONS = "io.jvirtio.testkit.DriverSession#packed";

  private static void advance(QueuePair pair, int buffers) throws PeerFault {
    for (int i = 0; i < buffers; i++) {
      pair.submitOne(i);
    }
  }

  /** The decision of the event against its definition, descriptor by descriptor. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 7, 8, 100})
  void anEventIsDueWhenItsDescriptorIsInTheBatch(int size) {
    for (int before = 0; before < 2 * size; before++) {
      for (int count = 1; count <= size; count++) {
        int after = (before + count) % (2 * size);
        for (int event = 0; event < 2 * size; event++) {
          // In a lap of two: laps of one wrap counter and of the other.
          boolean due = Math.floorMod(event - before, 2 * size) < count;
          // An event lies less than a lap behind the batch's start or before its end.
          boolean ahead = Math.floorMod(event - before, 2 * size) < size;
          if (due || ahead) {
            int structure = PackedRawRing.event(event % size, event < size, RING_EVENT_FLAGS_DESC);
            assertEquals(
                due,
                PackedRing.needEvent(structure, after % size, after < size, count, size, true),
                before + " + " + count + ", event " + event);
          }
        }
      }
    }
  }

  @Test
  void withoutEventIndexTheFlagsDecide() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED, 7)) {
      for (int i = 0; i < 1000; i++) {
        int flags = i % 4;
        // What offset and wrap counter say is of no account; reserved flags lose nothing.
        int event = PackedRawRing.event(i * 31 % 0x8000, i % 3 == 0, flags);
        pair.device.packedRing().deviceEvent(event);
        int before = pair.notified;
        pair.submit(i);
        assertEquals(flags == RING_EVENT_FLAGS_DISABLE ? 0 : 1, pair.notified - before);
        pair.useAll();
        assertEquals(i, pair.queue.get());
      }
      assertEquals(750, pair.queue.counters().notificationsSent());
      assertEquals(250, pair.queue.counters().notificationsSuppressed());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 3, 6, 7, 13, 20})
  void withEventIndexTheEventDecides(int start) throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED_EVENT_IDX, 7)) {
      advance(pair, start);
      int at = start;
      for (int batch = 1; batch <= 7; batch++) {
        for (int ahead = 0; ahead < 7; ahead++) {
          int event = at + ahead;
          pair.device
              .packedRing()
              .deviceEvent(
                  PackedRawRing.event(event % 7, event / 7 % 2 == 0, RING_EVENT_FLAGS_DESC));
          for (int i = 0; i < batch; i++) {
            assertTrue(pair.add(i, 1, 0));
          }
          boolean due = ahead < batch;
          assertEquals(due, pair.queue.kickPrepare(), at + " + " + batch + ", event " + ahead);
          pair.useAll();
          assertEquals(batch, pair.getAll().size());
          at += batch;
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void callbacksAreAskedForAndNot(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 7)) {
      PackedRawRing ring = pair.device.packedRing();
      int on = session.hasEventIdx() ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
      pair.submit("first");
      assertEquals(0, ring.driverEvent(), "all of it is zero at the start: always notify");
      assertTrue(pair.device.use(pair.device.take(), 0), "asked for from the start");
      assertEquals("first", pair.queue.get());
      for (int i = 0; i < 10_000; i++) {
        pair.queue.disableCallback();
        pair.queue.disableCallback();
        assertEquals(RING_EVENT_FLAGS_DISABLE, ring.driverEvent() >>> 16);
        pair.submit("a");
        pair.submit("b");
        assertFalse(pair.device.use(pair.device.take(), 0));
        assertEquals("a", pair.queue.get());
        assertFalse(pair.device.use(pair.device.take(), 0));
        assertEquals("b", pair.queue.get());
        assertTrue(pair.queue.enableCallback());
        int event = PackedRawRing.event(pair.device.nextUsed(), pair.device.usedWrap(), on);
        assertEquals(event, ring.driverEvent());
        pair.submit("c");
        assertTrue(pair.device.use(pair.device.take(), 0));
        assertEquals("c", pair.queue.get());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 5, 27, 31, 32, 60})
  void aDelayedCallbackComesAfterMostDescriptors(int start) throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PACKED_EVENT_IDX, 32)) {
      advance(pair, start);
      pair.queue.disableCallback();
      for (int i = 0; i < 8; i++) {
        assertTrue(pair.add(i, 1, 0));
      }
      pair.queue.kick();
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

  /** The descriptor that it asks for may be in the midst of a list. */
  @Test
  void aDelayedCallbackComesWhateverTheListsAre() throws PeerFault {
    for (int size = 4; size <= 16; size++) {
      try (QueuePair pair = new QueuePair(DriverSession.PACKED_EVENT_IDX, size)) {
        for (int round = 0; round < 200; round++) {
          pair.queue.disableCallback();
          int count = 0;
          while (pair.add(count, 1, (round + count) % 3)) {
            count++;
          }
          pair.queue.kick();
          boolean asleep = pair.queue.enableCallbackDelayed();
          assertTrue(asleep);
          int woken = 0;
          for (ScriptedDevice.Buffer next : pair.device.takeAll()) {
            woken += pair.device.use(next, 0) ? 1 : 0;
          }
          assertEquals(1, woken, "in a queue of " + size + ", round " + round);
          assertEquals(count, pair.getAll().size());
        }
      }
    }
  }
}
