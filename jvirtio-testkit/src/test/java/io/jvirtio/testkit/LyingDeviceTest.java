// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** A device that lies breaks the queue, and nothing else. */
class LyingDeviceTest {
  /** The next get finds out; all that was in flight is lost; a reset heals. */
  static void assertBreaks(FaultReason reason, long detail, QueuePair pair) throws PeerFault {
    int lost = pair.queue.inFlight();
    PeerFault fault = assertThrows(PeerFault.class, pair.queue::get);
    assertEquals(reason, fault.reason());
    assertEquals(detail, fault.detail());
    assertTrue(pair.queue.isBroken());
    assertSame(fault, pair.queue.fault());
    for (int i = 0; i < 2; i++) {
      assertSame(fault, assertThrows(PeerFault.class, pair.queue::get));
      assertSame(fault, assertThrows(PeerFault.class, () -> pair.add("more", 1, 0)));
    }
    pair.queue.breakQueue(new PeerFault(FaultReason.DEVICE_GONE, 0));
    assertSame(fault, pair.queue.fault(), "the first reason stays");
    assertFalse(pair.queue.kick());
    List<Object> detached = pair.detachAll();
    Set<Object> different = new HashSet<>(detached);
    assertEquals(lost, detached.size());
    assertEquals(lost, different.size(), "each once");
    assertEquals(pair.queue.size(), pair.queue.freeCount());
    pair.queue.reset(pair.queue.size());
    pair.connect();
    for (int i = 0; i < 3 * pair.queue.size(); i++) {
      pair.submit(i);
      assertEquals(1, pair.useAll());
      assertEquals(i, pair.queue.get());
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void anIdThatIsNoDescriptor(DriverSession session) throws PeerFault {
    for (long id : new long[] {8, 9, 0x7fff, 0x8000, 0x10000, 0x8000_0000L, 0xffff_ffffL}) {
      try (QueuePair pair = new QueuePair(session, 8)) {
        pair.submit("a");
        pair.submit("b");
        pair.device.put(id, 0);
        pair.device.publish();
        assertBreaks(FaultReason.USED_ID_OUT_OF_RANGE, id, pair);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void anIdTwice(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.submit("a");
      pair.submit("b");
      ScriptedDevice.Buffer first = pair.device.take();
      pair.device.put(first.head(), 0);
      pair.device.put(first.head(), 0);
      pair.device.publish();
      assertEquals("a", pair.queue.get());
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, first.head(), pair);
    }
  }

  @Test
  void anIdInTheMiddleOfAChain() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 8)) {
      assertTrue(pair.add("three long", 2, 1));
      pair.queue.kick();
      int head = pair.device.take().head();
      int next = pair.device.ring().descriptor(head).next();
      pair.device.put(next, 0);
      pair.device.publish();
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, next, pair);
    }
  }

  @ParameterizedTest
  @EnumSource
  void anIdThatWasNeverMadeAvailable(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.submit("a");
      pair.device.put(7, 0);
      pair.device.publish();
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, 7, pair);
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void anIdThatWasAddedButNotPublished(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.submit("published");
      assertTrue(pair.add("not published", 1, 0));
      int head = pair.device.ring().availEntry(1);
      pair.device.put(head, 0);
      pair.device.publish();
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, head, pair);
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void moreUsedThanIsInFlight(DriverSession session) throws PeerFault {
    for (int jump : new int[] {3, 8, 9, 0x7fff, 0x8000, 0xffff}) {
      try (QueuePair pair = new QueuePair(session, 8)) {
        pair.submit("a");
        pair.submit("b");
        assertTrue(pair.add("not published", 1, 0));
        pair.device.publish(jump);
        assertTrue(pair.queue.hasUsed());
        assertFalse(pair.queue.enableCallback());
        assertBreaks(FaultReason.USED_IDX_JUMP, jump, pair);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void theUsedIndexGoesBackwards(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      for (int i = 0; i < 3; i++) {
        pair.submit(i);
        pair.useAll();
        assertEquals(i, pair.queue.get());
      }
      pair.submit("in flight");
      pair.device.publish(2);
      assertTrue(pair.queue.hasUsed());
      assertFalse(pair.queue.enableCallbackDelayed());
      assertBreaks(FaultReason.USED_IDX_JUMP, 2, pair);
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void anIndexThatGoesBackwardsWithinABatchIsNotLookedAt(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.submit("a");
      pair.submit("b");
      pair.useAll();
      assertEquals("a", pair.queue.get());
      pair.device.publish(1);
      // It was loaded once for the whole batch.
      assertTrue(pair.queue.hasUsed());
      assertEquals("b", pair.queue.get());
      assertBreaks(FaultReason.USED_IDX_JUMP, 1, pair);
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.DriverSession#split")
  void usedWhileNothingIsInFlight(DriverSession session) throws PeerFault {
    try (QueuePair pair = new QueuePair(session, 8)) {
      pair.device.put(0, 0);
      pair.device.publish();
      assertBreaks(FaultReason.USED_IDX_JUMP, 1, pair);
    }
  }

  @ParameterizedTest
  @EnumSource
  void aLengthLongerThanTheWritablePart(DriverSession session) throws PeerFault {
    for (long length : new long[] {33, 48, 0x8000_0000L, 0xffff_ffffL}) {
      for (int elements : new int[] {1, 4}) {
        try (QueuePair pair = new QueuePair(session, 16)) {
          assertTrue(pair.add("exact", 1, 2));
          assertTrue(pair.add("too long", elements, 2));
          pair.queue.kick();
          pair.device.use(pair.device.take(), 32);
          assertEquals("exact", pair.queue.get());
          assertEquals(32, pair.queue.writtenLength());
          pair.device.use(pair.device.take(), length);
          if (session.isLegacy()) {
            assertEquals("too long", pair.queue.get());
            assertEquals(32, pair.queue.writtenLength(), "clamped");
            assertNull(pair.queue.get());
          } else {
            assertBreaks(FaultReason.USED_LENGTH_TOO_LONG, length, pair);
          }
        }
      }
    }
  }

  @Test
  void aLengthForABufferThatIsOnlyReadable() throws PeerFault {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 8)) {
      assertTrue(pair.add("out", 2, 0));
      pair.queue.kick();
      pair.device.use(pair.device.take(), 1);
      assertBreaks(FaultReason.USED_LENGTH_TOO_LONG, 1, pair);
    }
  }

  @Test
  void anotherThreadBreaksTheQueue() throws PeerFault, InterruptedException {
    try (QueuePair pair = new QueuePair(DriverSession.PLAIN, 8)) {
      pair.submit("a");
      pair.submit("b");
      pair.useAll();
      assertEquals("a", pair.queue.get());
      PeerFault gone = new PeerFault(FaultReason.DEVICE_GONE, 0);
      Thread thread = Thread.ofPlatform().start(() -> pair.queue.breakQueue(gone));
      thread.join();
      assertSame(gone, assertThrows(PeerFault.class, pair.queue::get));
      assertBreaks(FaultReason.DEVICE_GONE, 0, pair);
    }
  }
}
