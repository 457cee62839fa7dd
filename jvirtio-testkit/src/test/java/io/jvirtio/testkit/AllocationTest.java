// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.spec.PackedRing;
import java.lang.reflect.Method;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The hot path allocates nothing. */
class AllocationTest {
  private static final int REQUESTS = 200_000;
  private static final int BATCH = 8;

  /** A class that loads late or code that is compiled anew may allocate once, never a request. */
  private static final long ALLOWED_BYTES = REQUESTS / 10;

  private byte[] witness;

  static Stream<Arguments> kinds() {
    return Stream.of(Session.values())
        .flatMap(session -> Stream.of(Arguments.of(session, false), Arguments.of(session, true)));
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void aRequestAllocatesNothing(Session session, boolean inOrder)
      throws ReflectiveOperationException {
    DeviceBench.Builder builder = session.of(PuppetDevice.echoing());
    if (inOrder) {
      builder.inOrder();
    }
    try (TestMemory memory =
            TestMemory.builder().region(0x1_0000, 0x1_0000).region(0x2_0000, 0x1_0000).build();
        DeviceBench bench = builder.memory(memory).start()) {
      long idle = allocatedBytes();
      witness = new byte[1 << 20];
      assertTrue(allocatedBytes() - idle >= witness.length);
      run(bench, REQUESTS, 0);
      long before = allocatedBytes();
      run(bench, REQUESTS, REQUESTS);
      long allocated = allocatedBytes() - before;
      assertTrue(allocated < ALLOWED_BYTES, allocated + " bytes for " + REQUESTS + " requests");
      assertEquals(0, bench.host().faults());
    }
  }

  /** Of every two requests one is direct and crosses the edge of a region, one is indirect. */
  private static void run(DeviceBench bench, int requests, int start) {
    if (bench.driver(0).isPacked()) {
      runPacked(bench, requests, start);
      return;
    }
    RawRing ring = bench.driver(0).ring();
    InlineOwner owner = (InlineOwner) bench.owner();
    long table = bench.memory().allocate(32, 16);
    long data = 0x2_0000 - 8;
    for (int i = 0; i < 2 * BATCH; i += 4) {
      ring.descriptor(i, data, 16, VIRTQ_DESC_F_NEXT, i + 1);
      ring.descriptor(i + 1, data, 16, VIRTQ_DESC_F_WRITE, 0);
      ring.descriptor(i + 2, table, 32, VIRTQ_DESC_F_INDIRECT, 0);
    }
    ring.descriptor(bench.memory().slice(table, 32), 0, data, 16, VIRTQ_DESC_F_NEXT, 1);
    ring.descriptor(bench.memory().slice(table, 32), 16, data, 16, VIRTQ_DESC_F_WRITE, 0);
    for (int i = start; i < start + requests; i += BATCH) {
      for (int j = 0; j < BATCH; j++) {
        ring.availEntry(i + j, 2 * j);
      }
      ring.usedEvent(i + BATCH / 2 & 0xffff);
      ring.availIdx(i + BATCH & 0xffff);
      owner.runUntilIdle();
      if (ring.usedIdx() != (i + BATCH & 0xffff) || ring.usedLen(i) != 16) {
        throw new AssertionError("after " + i);
      }
    }
  }

  /** The same in a packed ring: 12 descriptors a batch, which the size is no multiple of. */
  private static void runPacked(DeviceBench bench, int requests, int start) {
    PackedRawRing ring = bench.driver(0).packedRing();
    InlineOwner owner = (InlineOwner) bench.owner();
    int size = bench.driver(0).size();
    long table = bench.memory().allocate(32, 16);
    long data = 0x2_0000 - 8;
    ring.tableEntry(bench.memory().slice(table, 32), 0, data, 16, 0, 0);
    ring.tableEntry(bench.memory().slice(table, 32), 16, data, 16, 0, VIRTQ_DESC_F_WRITE);
    int next = start / BATCH * 12;
    for (int i = start; i < start + requests; i += BATCH) {
      int first = next;
      for (int j = 0; j < BATCH; j += 2) {
        put(ring, next++, size, data, 16, j, VIRTQ_DESC_F_NEXT);
        put(ring, next++, size, data, 16, j, VIRTQ_DESC_F_WRITE);
        put(ring, next++, size, table, 32, j + 1, VIRTQ_DESC_F_INDIRECT);
      }
      boolean wrap = next / size % 2 == 0;
      int event = next - 6;
      ring.driverEvent(
          PackedRawRing.event(
              event % size, event / size % 2 == 0, PackedRing.RING_EVENT_FLAGS_DESC));
      owner.runUntilIdle();
      boolean firstWrap = first / size % 2 == 0;
      if (!PackedRing.isUsed(ring.flags(first % size), firstWrap)
          || PackedRing.isUsed(ring.flags(next % size), wrap)
          || ring.len(first % size) != 16) {
        throw new AssertionError("after " + i);
      }
    }
  }

  private static void put(
      PackedRawRing ring, int at, int size, long addr, long len, int id, int flags) {
    boolean wrap = at / size % 2 == 0;
    ring.descriptor(at % size, addr, len, id, flags | PackedRing.availableFlags(wrap));
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
