// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import java.lang.reflect.Method;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The hot path allocates nothing. */
class AllocationTest {
  private static final int REQUESTS = 200_000;
  private static final int BATCH = 8;

  /** A class that loads late or code that is compiled anew may allocate once, never a request. */
  private static final long ALLOWED_BYTES = REQUESTS / 10;

  private byte[] witness;

  @ParameterizedTest
  @EnumSource
  void aRequestAllocatesNothing(Session session) throws ReflectiveOperationException {
    try (TestMemory memory =
            TestMemory.builder().region(0x1_0000, 0x1_0000).region(0x2_0000, 0x1_0000).build();
        DeviceBench bench = session.of(PuppetDevice.echoing()).memory(memory).start()) {
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
