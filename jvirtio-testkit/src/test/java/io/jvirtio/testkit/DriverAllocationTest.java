// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.PackedRing;
import java.lang.reflect.Method;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The hot path of the driver side allocates nothing. */
class DriverAllocationTest {
  private static final int REQUESTS = 200_000;
  private static final int BATCH = 8;

  /** A class that loads late or code that is compiled anew may allocate once, never a request. */
  private static final long ALLOWED_BYTES = REQUESTS / 10;

  private static final Object[] TOKENS = {"a", "b", "c", "d", "e", "f", "g", "h"};

  private byte[] witness;

  @ParameterizedTest
  @EnumSource
  void aRequestAllocatesNothing(DriverSession session)
      throws ReflectiveOperationException, PeerFault {
    try (QueuePair pair = new QueuePair(session, 16)) {
      long idle = allocatedBytes();
      witness = new byte[1 << 20];
      assertTrue(allocatedBytes() - idle >= witness.length);
      run(pair, 0);
      long before = allocatedBytes();
      run(pair, REQUESTS);
      long allocated = allocatedBytes() - before;
      assertTrue(allocated < ALLOWED_BYTES, allocated + " bytes for " + REQUESTS + " requests");
      assertEquals(2 * REQUESTS, pair.queue.counters().used());
      assertTrue(pair.notified > 0);
    }
  }

  /** The device's part allocates nothing either: it writes what it knows must be there. */
  private static void run(QueuePair pair, int start) throws PeerFault {
    var readable = pair.data.asSlice(0, 16);
    var writable = pair.data.asSlice(16, 16);
    for (int i = start; i < start + REQUESTS; i += BATCH) {
      int added = 0;
      while (added < BATCH
          && pair.queue.add(
              pair.buffer.clear().readable(readable).writable(writable), TOKENS[added])) {
        added++;
      }
      pair.queue.kick();
      if (pair.session.isPacked()) {
        usePacked(pair, i, added);
      } else {
        use(pair.device.ring(), i, added);
      }
      pair.queue.disableCallback();
      int got = 0;
      while (pair.queue.get() != null) {
        got++;
      }
      if (added != BATCH || got != BATCH || !pair.queue.enableCallback()) {
        throw new AssertionError(added + " added, " + got + " came back after " + i);
      }
    }
  }

  private static void use(RawRing ring, int from, int count) {
    for (int j = 0; j < count; j++) {
      ring.usedEntry(from + j, ring.availEntry(from + j), 16);
    }
    ring.usedIdx(from + count);
  }

  /** In order, so that each used descriptor is written where its buffer began. */
  private static void usePacked(QueuePair pair, int from, int count) {
    PackedRawRing ring = pair.device.packedRing();
    int size = pair.queue.size();
    int descriptors = pair.session.isIndirect() ? 1 : 2;
    for (int j = 0; j < count; j++) {
      int at = (from + j) * descriptors;
      ring.used(at % size, 16, ring.id((at + descriptors - 1) % size));
      boolean wrap = at / size % 2 == 0;
      ring.flags(at % size, PackedRing.usedFlags(wrap) | PackedRing.VIRTQ_DESC_F_WRITE);
    }
  }

  /** By reflection, because the module under test does not read {@code jdk.management}. */
  private static long allocatedBytes() throws ReflectiveOperationException {
    Object bean =
        Class.forName("java.lang.management.ManagementFactory")
            .getMethod("getThreadMXBean")
            .invoke(null);
    Method method =
        Class.forName("com.sun.management.ThreadMXBean")
            .getMethod("getCurrentThreadAllocatedBytes");
    return (long) method.invoke(bean);
  }
}
