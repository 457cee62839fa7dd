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
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** VIRTIO_F_IN_ORDER on the driver side, split and packed, with devices honest and not. */
class DriverInOrderTest {
  private static final int ELEMENT = 8;

  private static final class Pair implements AutoCloseable {
    final TestDriverMemory memory = new TestDriverMemory();
    final FeatureBits features;
    final DriverQueue queue;
    final MemorySegment data;
    ScriptedDevice device;

    Pair(boolean packed, boolean indirect) {
      features =
          Features.EVENT_IDX
              .with(ReservedFeatures.VIRTIO_F_IN_ORDER)
              .withIf(packed, ReservedFeatures.VIRTIO_F_RING_PACKED)
              .withIf(indirect, ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
      try {
        queue =
            DriverQueue.create(
                new DriverQueueOptions(0, "test", packed ? 7 : 8, 4, features, 0, false),
                memory,
                it -> {});
        data = memory.allocate(64, 64);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      connect();
    }

    void connect() {
      device = new ScriptedDevice(memory, queue.layout(), features, ByteOrder.LITTLE_ENDIAN);
    }

    boolean add(Object token, int readable, int writable) throws PeerFault {
      DriverBuffer buffer = new DriverBuffer(memory, 4);
      for (int i = 0; i < readable + writable; i++) {
        MemorySegment element = data.asSlice((long) ELEMENT * i, ELEMENT);
        if (i < readable) {
          buffer.readable(element);
        } else {
          buffer.writable(element);
        }
      }
      return queue.add(buffer, token);
    }

    @Override
    public void close() {
      memory.close();
    }
  }

  @ParameterizedTest
  @CsvSource({"false, false", "false, true", "true, false", "true, true"})
  @Requirement(
      section = "Split Virtqueues / The Virtqueue Descriptor Table",
      text =
          "If VIRTIO_F_IN_ORDER has been negotiated, and when making a descriptor with"
              + " VRING_DESC_F_NEXT set in flags at offset x in the table available to the device,"
              + " driver MUST set next to 0 for the last descriptor in the table (where x ="
              + " queue_size - 1) and to x + 1 for the rest of the descriptors.")
  @Requirement(
      section = "Split Virtqueues / Indirect Descriptors",
      text =
          "If VIRTIO_F_IN_ORDER has been negotiated, indirect descriptors MUST appear sequentially,"
              + " with next taking the value of 1 for the 1st descriptor, 2 for the 2nd one, etc.")
  void aBatchComesBackBufferByBuffer(boolean packed, boolean indirect) throws PeerFault {
    Random random = new Random(5);
    try (Pair pair = new Pair(packed, indirect)) {
      int number = 0;
      for (int round = 0; round < 3000; round++) {
        List<Integer> sent = new ArrayList<>();
        while (pair.add(number, 1, random.nextInt(4))) {
          sent.add(number++);
        }
        pair.queue.kick();
        // The scripted device checks that next is what it must be.
        List<ScriptedDevice.Buffer> taken = pair.device.takeAll();
        assertEquals(sent.size(), taken.size());
        int back = 0;
        while (back < taken.size()) {
          int batch = 1 + random.nextInt(taken.size() - back);
          List<ScriptedDevice.Buffer> used = taken.subList(back, back + batch);
          long last = used.getLast().writableLength() / 2;
          pair.device.putBatch(used, last);
          pair.device.publish();
          for (int i = 0; i < batch; i++) {
            assertTrue(pair.queue.hasUsed());
            assertFalse(pair.queue.enableCallback());
            assertEquals(sent.get(back + i), pair.queue.get());
            long whole = used.get(i).writableLength();
            assertEquals(i == batch - 1 ? last : whole, pair.queue.writtenLength());
          }
          back += batch;
          assertNull(pair.queue.get());
          assertTrue(pair.queue.enableCallback());
        }
        assertEquals(pair.queue.size(), pair.queue.freeCount());
      }
    }
  }

  private static void assertBreaks(FaultReason reason, Pair pair) throws PeerFault {
    int lost = pair.queue.inFlight();
    PeerFault fault = assertThrows(PeerFault.class, pair.queue::get);
    assertEquals(reason, fault.reason());
    assertSame(fault, assertThrows(PeerFault.class, pair.queue::get));
    assertFalse(pair.queue.kick());
    int detached = 0;
    while (pair.queue.detachUnused() != null) {
      detached++;
    }
    assertEquals(lost, detached);
    assertEquals(pair.queue.size(), pair.queue.freeCount());
    pair.queue.reset(pair.queue.size());
    pair.connect();
    for (int i = 0; i < 3 * pair.queue.size(); i++) {
      assertTrue(pair.add(i, 1, 1));
      pair.queue.kick();
      pair.device.use(pair.device.take(), 0);
      assertEquals(i, pair.queue.get());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void anIdThatGoesBackwards(boolean packed) throws PeerFault {
    try (Pair pair = new Pair(packed, false)) {
      for (int i = 0; i < 4; i++) {
        assertTrue(pair.add(i, 1, 0));
      }
      pair.queue.kick();
      List<ScriptedDevice.Buffer> taken = pair.device.takeAll();
      pair.device.putBatch(taken.subList(0, 3), 0);
      pair.device.put(taken.get(1).head(), 0);
      pair.device.publish();
      for (int i = 0; i < 3; i++) {
        assertEquals(i, pair.queue.get());
      }
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, pair);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void anIdThatIsNone(boolean packed) throws PeerFault {
    try (Pair pair = new Pair(packed, true)) {
      assertTrue(pair.add("a", 1, 1));
      pair.queue.kick();
      pair.device.put(pair.queue.size(), 0);
      pair.device.publish();
      assertBreaks(FaultReason.USED_ID_OUT_OF_RANGE, pair);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void anIdThatWasAddedButNotPublished(boolean packed) throws PeerFault {
    try (Pair pair = new Pair(packed, false)) {
      assertTrue(pair.add("published", 1, 0));
      pair.queue.kick();
      assertTrue(pair.add("not published", 1, 0));
      int id = packed ? pair.device.packedRing().id(1) : pair.device.ring().availEntry(1);
      pair.device.put(id, 0);
      pair.device.publish();
      assertBreaks(FaultReason.USED_ID_NOT_AVAILABLE, pair);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aLengthLongerThanTheLastOfTheBatch(boolean packed) throws PeerFault {
    try (Pair pair = new Pair(packed, false)) {
      assertTrue(pair.add("long", 1, 2));
      assertTrue(pair.add("short", 1, 1));
      pair.queue.kick();
      pair.device.putBatch(pair.device.takeAll(), ELEMENT + 1);
      pair.device.publish();
      assertBreaks(FaultReason.USED_LENGTH_TOO_LONG, pair);
    }
  }

  /** Only the idx of a split ring tells how long a batch is, besides the id. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void aBatchThatReachesBeyondTheUsedIdx(int idx) throws PeerFault {
    try (Pair pair = new Pair(false, false)) {
      for (int i = 0; i < 4; i++) {
        assertTrue(pair.add(i, 1, 0));
      }
      pair.queue.kick();
      List<ScriptedDevice.Buffer> taken = pair.device.takeAll();
      pair.device.putBatch(taken.subList(0, 3), 0);
      pair.device.publish(idx);
      assertBreaks(FaultReason.USED_IDX_JUMP, pair);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aQueueThatBreaksInTheMidstOfABatchGivesAllOfItBack(boolean packed) throws PeerFault {
    try (Pair pair = new Pair(packed, false)) {
      for (int i = 0; i < 5; i++) {
        assertTrue(pair.add(i, 1, 0));
      }
      pair.queue.kick();
      pair.device.putBatch(pair.device.takeAll(), 0);
      pair.device.publish();
      assertEquals(0, pair.queue.get());
      assertEquals(1, pair.queue.get());
      pair.queue.breakQueue(new PeerFault(FaultReason.DEVICE_GONE, 0));
      assertBreaks(FaultReason.DEVICE_GONE, pair);
    }
  }
}
