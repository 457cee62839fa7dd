// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_AVAIL;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_USED;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_WRITE;
import static io.jvirtio.testkit.LyingDeviceTest.assertBreaks;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.PackedRing;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A device that lies in a packed ring breaks the queue, and nothing else. */
class LyingPackedDeviceTest {
  private static final String SESSIONS = "io.jvirtio.testkit.DriverSession#packed";
  private static final int SIZE = 7;
  private static final int BOTH = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

  private static QueuePair pair(DriverSession session) throws PeerFault {
    return new QueuePair(session, SIZE);
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void anIdThatIsNone(DriverSession session) throws PeerFault {
    for (int id : new int[] {SIZE, SIZE + 1, 0x7fff, 0x8000, 0xffff}) {
      for (int start : new int[] {0, 3, 12}) {
        try (QueuePair pair = pair(session)) {
          advance(pair, start);
          pair.submit("a");
          pair.submit("b");
          pair.device.put(id, 0);
          pair.device.publish();
          assertBreaks(FaultReason.USED_ID_OUT_OF_RANGE, id, pair);
        }
      }
    }
  }

  private static void advance(QueuePair pair, int buffers) throws PeerFault {
    for (int i = 0; i < buffers; i++) {
      pair.submitOne(i);
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void anIdThatWasAddedButNotPublished(DriverSession session) throws PeerFault {
    try (QueuePair pair = pair(session)) {
      pair.submit("published");
      ScriptedDevice.Buffer published = pair.device.take();
      assertTrue(pair.add("not published", 1, 0));
      int at = published.isIndirect() ? 1 : 2;
      int id = pair.device.packedRing().id(at);
      pair.device.put(id, 0);
      pair.device.publish();
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, id, pair);
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void whatIsUsedWhileNothingIsInFlight(DriverSession session) throws PeerFault {
    try (QueuePair pair = pair(session)) {
      pair.device.put(0, 0);
      pair.device.publish();
      assertTrue(pair.queue.hasUsed());
      assertFalse(pair.queue.enableCallback());
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, 0, pair);
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void moreUsedThanWasPublished(DriverSession session) throws PeerFault {
    try (QueuePair pair = pair(session)) {
      pair.submit("a");
      ScriptedDevice.Buffer a = pair.device.take();
      assertTrue(pair.add("not published", 1, 0));
      pair.device.put(a.head(), 0);
      pair.device.put(a.head(), 0);
      pair.device.put(a.head(), 0);
      pair.device.publish();
      assertEquals("a", pair.queue.get());
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, a.head(), pair);
    }
  }

  /** Of the four combinations only one says "used", and the other three are not there yet. */
  @ParameterizedTest
  @MethodSource(SESSIONS)
  void usedInAWrongLapIsNotUsed(DriverSession session) throws PeerFault {
    for (int start = 0; start < 3 * SIZE; start++) {
      try (QueuePair pair = pair(session)) {
        advance(pair, start);
        boolean wrap = start / SIZE % 2 == 0;
        assertTrue(pair.add("a", 0, 1));
        pair.queue.kick();
        ScriptedDevice.Buffer a = pair.device.take();
        PackedRawRing ring = pair.device.packedRing();
        int at = pair.device.nextUsed();
        assertEquals(start % SIZE, at);
        int used = PackedRing.usedFlags(wrap);
        for (int flags : new int[] {used ^ BOTH, VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED}) {
          ring.used(at, 99, 99);
          ring.flags(at, flags | VIRTQ_DESC_F_WRITE);
          assertFalse(pair.queue.hasUsed());
          assertNull(pair.queue.get());
          assertTrue(pair.queue.enableCallback());
        }
        pair.device.use(a, 3);
        assertEquals("a", pair.queue.get());
        assertEquals(3, pair.queue.writtenLength());
        assertFalse(pair.queue.isBroken());
      }
    }
  }

  /** A device that skips as many descriptors as it likes is only not heard. */
  @Test
  void aUsedDescriptorInAWrongPlaceIsNotSeen() throws PeerFault {
    try (QueuePair pair = pair(DriverSession.PACKED)) {
      pair.submit("a");
      pair.submit("b");
      int id = pair.device.packedRing().id(1);
      for (int at : new int[] {1, 2, 3, 6}) {
        pair.device.packedRing().used(at, 0, id);
        pair.device.packedRing().flags(at, BOTH);
        assertNull(pair.queue.get());
      }
      List<Object> lost = pair.detachAll();
      assertEquals(2, lost.size());
      assertTrue(lost.containsAll(List.of("a", "b")));
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  void whatWasUsedIsTakenOnceHoweverOftenItIsMarked(DriverSession session) throws PeerFault {
    try (QueuePair pair = pair(session)) {
      for (int i = 0; i < 5 * SIZE; i++) {
        pair.submitOne(i);
        boolean wrap = i / SIZE % 2 == 0;
        for (int flags : new int[] {0, BOTH, VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED}) {
          pair.device.packedRing().flags(i % SIZE, flags);
          assertNull(pair.queue.get());
        }
        pair.device.packedRing().flags(i % SIZE, PackedRing.usedFlags(wrap));
      }
      assertFalse(pair.queue.isBroken());
    }
  }
}
