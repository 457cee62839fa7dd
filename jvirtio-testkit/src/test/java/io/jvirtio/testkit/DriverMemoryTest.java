// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The memory that a driver shares with its device. */
class DriverMemoryTest {
  private static final long BASE = TestDriverMemory.FIRST_DEVICE_ADDRESS;

  @Test
  void whatIsAllocatedIsZeroedAlignedAndTranslated() throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory()) {
      for (long align = 1; align <= 4096; align *= 2) {
        MemorySegment segment = memory.allocate(100, align);
        assertEquals(100, segment.byteSize());
        assertEquals(0, memory.deviceAddress(segment) % Math.max(align, DriverMemory.GRAIN));
        assertEquals(-1, segment.mismatch(MemorySegment.ofArray(new byte[100])));
        assertTrue(memory.isShared(segment));
        segment.fill((byte) 0xff);
        memory.release(segment);
      }
      assertEquals(0, memory.allocated());
      MemorySegment again = memory.allocate(1 << 20, 4096);
      assertEquals(-1, again.mismatch(MemorySegment.ofArray(new byte[1 << 20])));
      assertEquals(BASE, memory.deviceAddress(again));
      assertEquals(1, memory.regions().size());
      assertEquals(1 << 20, memory.allocated());
    }
  }

  @Test
  void itGrowsWhenItMust() throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory(8192, 0x10000)) {
      assertEquals(0, memory.regions().size());
      MemorySegment first = memory.allocate(8192, 1);
      MemorySegment second = memory.allocate(1, 1);
      MemorySegment third = memory.allocate(10_000, 4096);
      assertEquals(3, memory.regions().size());
      assertEquals(0x10000, memory.deviceAddress(first));
      assertEquals(0x13000, memory.deviceAddress(second));
      assertEquals(0x16000, memory.deviceAddress(third));
      assertEquals(12288, memory.regions().get(2).segment().byteSize());
      assertEquals(8192 + 64 + 10_048, memory.allocated());
      memory.limit(8191);
      assertThrows(IOException.class, () -> memory.allocate(8192, 1));
      assertEquals(8192 + 64 + 10_048, memory.allocated());
      memory.release(first);
      assertEquals(0x10000, memory.deviceAddress(memory.allocate(8192, 1)));
    }
  }

  @Test
  void neighboursGrowTogetherAgain() throws IOException {
    int[][] orders = {{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 2, 1, 3}, {1, 3, 2, 0}, {0, 3, 1, 2}};
    try (TestDriverMemory memory = new TestDriverMemory(4096, 0x10000)) {
      for (int[] order : orders) {
        List<MemorySegment> parts = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
          parts.add(memory.allocate(1024, 64));
        }
        for (int i : order) {
          memory.release(parts.get(i));
        }
        memory.release(memory.allocate(4096, 4096));
        assertEquals(1, memory.regions().size());
      }
    }
  }

  @Test
  void theGapThatAlignmentLeavesIsUsed() throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory(8192, 0x10000)) {
      memory.allocate(64, 64);
      assertEquals(0x11000, memory.deviceAddress(memory.allocate(64, 4096)));
      assertEquals(0x10040, memory.deviceAddress(memory.allocate(64, 64)));
      assertEquals(0x10080, memory.deviceAddress(memory.allocate(4096 - 128, 64)));
      assertEquals(0x11040, memory.deviceAddress(memory.allocate(4096 - 64, 64)));
      assertEquals(1, memory.regions().size());
    }
  }

  /** Regions that touch each other, in this process and for the device. */
  private static final class Touching extends DriverMemory {
    private final MemorySegment all;
    private long used;

    Touching(Arena arena) {
      all = arena.allocate(4 * 4096, 4096);
    }

    @Override
    protected Region grow(long bytes) {
      Region region = new Region(all.asSlice(used, 4096), BASE + used);
      used += 4096;
      return region;
    }
  }

  @Test
  void regionsThatTouchStayApart() throws IOException {
    try (Arena arena = Arena.ofShared()) {
      Touching memory = new Touching(arena);
      List<MemorySegment> pages = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        pages.add(memory.allocate(4096, 4096));
      }
      pages.forEach(memory::release);
      // A device may know them by different mappings.
      assertThrows(IOException.class, () -> memory.allocate(4097, 64));
      assertThrows(
          IllegalArgumentException.class, () -> memory.deviceAddress(memory.all.asSlice(4095, 2)));
      assertFalse(memory.isShared(memory.all.asSlice(0, 4097)));
      assertTrue(memory.isShared(memory.all.asSlice(4096, 4096)));
    }
  }

  @Test
  void onlyWhatWasAllocatedIsReleasedAndOnlyOnce() throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory();
        Arena arena = Arena.ofConfined()) {
      MemorySegment segment = memory.allocate(256, 64);
      MemorySegment neighbour = memory.allocate(256, 64);
      List<MemorySegment> wrong =
          List.of(
              segment.asSlice(64),
              segment.asSlice(0, 64),
              segment.asSlice(1, 200),
              arena.allocate(256, 64),
              MemorySegment.ofArray(new byte[256]));
      for (MemorySegment bad : wrong) {
        assertThrows(IllegalArgumentException.class, () -> memory.release(bad), bad.toString());
      }
      memory.release(segment);
      assertThrows(IllegalArgumentException.class, () -> memory.release(segment));
      assertEquals(256, memory.allocated());
      memory.release(neighbour);
      assertThrows(IllegalArgumentException.class, () -> memory.release(segment));
      assertEquals(0, memory.allocated());
    }
  }

  @Test
  void sizesAndAlignmentsThatCannotBe() {
    try (TestDriverMemory memory = new TestDriverMemory()) {
      for (long bytes : new long[] {0, -1, Long.MIN_VALUE, Long.MAX_VALUE, Long.MAX_VALUE - 63}) {
        assertThrows(IllegalArgumentException.class, () -> memory.allocate(bytes, 64));
      }
      for (long align : new long[] {0, -64, 3, 8192, Long.MIN_VALUE}) {
        assertThrows(IllegalArgumentException.class, () -> memory.allocate(64, align));
      }
      assertEquals(0, memory.regions().size());
      assertThrows(IllegalArgumentException.class, () -> new TestDriverMemory(100, 0));
      assertThrows(IllegalArgumentException.class, () -> new TestDriverMemory(4096, 64));
    }
  }

  @Test
  void translationAtTheEdges() throws IOException {
    // The upper region is above the middle of the address space: addresses are unsigned.
    try (TestDriverMemory memory = new TestDriverMemory(4096, 0x7fff_ffff_ffff_f000L)) {
      MemorySegment first = memory.allocate(4096, 4096);
      MemorySegment second = memory.allocate(4096, 4096);
      assertEquals(0x7fff_ffff_ffff_f000L, memory.deviceAddress(first));
      assertEquals(0x8000_0000_0000_1000L, memory.deviceAddress(second));
      for (MemorySegment segment : List.of(first, second)) {
        long host = segment.address();
        long device = memory.deviceAddress(segment);
        assertEquals(device + 4095, memory.deviceAddress(host + 4095, 1));
        assertEquals(device + 4096, memory.deviceAddress(host + 4096, 0));
        for (long[] outside :
            new long[][] {
              {host - 1, 1}, {host - 1, 4097}, {host, 4097}, {host + 4095, 2}, {host + 4096, 1},
              {host, Long.MAX_VALUE}, {host + 8, -1}, {0, 1}, {-1, 1}, {-1, Long.MAX_VALUE}
            }) {
          assertThrows(
              IllegalArgumentException.class, () -> memory.deviceAddress(outside[0], outside[1]));
        }
      }
      assertThrows(
          IllegalArgumentException.class,
          () -> memory.deviceAddress(MemorySegment.ofArray(new byte[1])));
      assertFalse(memory.isShared(MemorySegment.ofArray(new byte[1])));
    }
  }

  @Test
  void aDeviceInTheSameProcessSeesTheSameBytes() throws IOException, PeerFault {
    try (TestDriverMemory memory = new TestDriverMemory(4096, BASE)) {
      assertEquals(0, memory.snapshot().regionCount());
      MemorySegment first = memory.allocate(4096, 4096);
      MemorySegment second = memory.allocate(8, 8);
      GuestMemory snapshot = memory.snapshot();
      assertEquals(2, snapshot.regionCount());
      for (MemorySegment segment : List.of(first, second)) {
        long device = memory.deviceAddress(segment);
        assertEquals(segment.address(), snapshot.contiguous(device, segment.byteSize()));
        segment.set(ValueLayout.JAVA_INT, 4, 77);
        assertEquals(77, memory.slice(device, 8).get(ValueLayout.JAVA_INT, 4));
      }
      PeerFault fault = assertThrows(PeerFault.class, () -> snapshot.contiguous(BASE + 4096, 1));
      assertEquals(FaultReason.ADDRESS_OUTSIDE_MEMORY, fault.reason());
    }
  }

  /** Against a map of the grains that are in use. */
  @Test
  void randomAllocationsAgreeWithAModel() throws IOException {
    long fresh = new Random().nextLong();
    for (int i = 0; i < 40; i++) {
      long seed = i % 2 == 0 ? i : fresh + i;
      try {
        session(new Random(seed));
      } catch (AssertionError | RuntimeException e) {
        throw new AssertionError("seed " + seed, e);
      }
    }
  }

  private static void session(Random random) throws IOException {
    try (TestDriverMemory memory = new TestDriverMemory(1 << 16, BASE)) {
      BitSet model = new BitSet();
      List<MemorySegment> live = new ArrayList<>();
      long sum = 0;
      for (int step = 0; step < 3000; step++) {
        boolean allocate = live.isEmpty() || random.nextInt(100) < (step % 1000 < 500 ? 70 : 30);
        if (allocate) {
          long bytes = 1 + random.nextInt(1 << random.nextInt(1, 15));
          long align = 1L << random.nextInt(13);
          MemorySegment segment = memory.allocate(bytes, align);
          int from = grain(memory, segment);
          int to = from + (int) ((bytes + 63) / 64);
          assertEquals(0, memory.deviceAddress(segment) % align);
          assertEquals(-1, segment.mismatch(MemorySegment.ofArray(new byte[(int) bytes])));
          assertTrue(model.get(from, to).isEmpty(), "overlaps");
          model.set(from, to);
          segment.fill((byte) step);
          sum += (to - from) * 64L;
          live.add(segment);
        } else {
          MemorySegment segment = live.remove(random.nextInt(live.size()));
          int from = grain(memory, segment);
          int to = from + (int) ((segment.byteSize() + 63) / 64);
          model.clear(from, to);
          sum -= (to - from) * 64L;
          memory.release(segment);
        }
        assertEquals(sum, memory.allocated());
      }
      live.forEach(memory::release);
      assertEquals(0, memory.allocated());
      int regions = memory.regions().size();
      memory.limit(0);
      for (int i = 0; i < regions; i++) {
        assertEquals(1 << 16, memory.allocate(1 << 16, 4096).byteSize());
      }
      assertThrows(IOException.class, () -> memory.allocate(1, 1));
    }
  }

  private static int grain(TestDriverMemory memory, MemorySegment segment) {
    return (int) ((memory.deviceAddress(segment) - BASE) / 64);
  }

  @Test
  void threadsAllocateWhileOthersTranslate() throws Exception {
    try (TestDriverMemory memory = new TestDriverMemory(4096, BASE)) {
      List<Thread> threads = new ArrayList<>();
      List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
      for (int t = 0; t < 4; t++) {
        threads.add(
            Thread.ofPlatform()
                .start(
                    () -> {
                      try {
                        for (int i = 0; i < 2000; i++) {
                          MemorySegment segment = memory.allocate(1000, 64);
                          long device = memory.deviceAddress(segment);
                          assertEquals(segment.address(), memory.slice(device, 1000).address());
                          if (i % 3 != 0) {
                            memory.release(segment);
                          }
                        }
                      } catch (IOException | RuntimeException | Error e) {
                        failures.add(e);
                      }
                    }));
      }
      for (Thread thread : threads) {
        thread.join();
      }
      assertEquals(List.of(), failures);
      assertEquals(4 * 667 * 1024, memory.allocated());
    }
  }
}
