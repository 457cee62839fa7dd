// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.drivers.blk.InlineDisk.bytes;
import static io.jvirtio.drivers.blk.InlineDisk.heap;
import static io.jvirtio.drivers.blk.InlineDisk.pattern;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.drivers.Way;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Requests that the user owns, given to a queue. */
@ParameterizedClass
@EnumSource
class BlkIoTest {
  @Parameter Way way;

  private static final int REQUESTS = 200_000;

  @Test
  void severalSegmentsInSharedMemoryAndElsewhere() throws IOException {
    try (InlineDisk disk = new InlineDisk(way);
        Arena arena = Arena.ofShared()) {
      byte[] data = pattern(2048, 1);
      disk.data.write(512, data);
      MemorySegment shared = disk.driver.allocate(1000);
      MemorySegment heap = heap(new byte[300]);
      MemorySegment elsewhere = arena.allocate(748);
      BlkIo io = disk.driver.newIo().read(512).add(shared).add(heap).add(elsewhere);
      disk.driver.submit(io);
      assertTrue(io.isBusy());
      disk.run();
      assertTrue(io.isOk());
      io.check();
      byte[] all = new byte[2048];
      MemorySegment.copy(shared, 0, heap(all), 0, 1000);
      MemorySegment.copy(heap, 0, heap(all), 1000, 300);
      MemorySegment.copy(elsewhere, 0, heap(all), 1300, 748);
      assertArrayEquals(data, all);
      io.write(8192).add(heap).add(shared).add(elsewhere);
      disk.driver.submit(io);
      disk.run();
      assertArrayEquals(bytes(heap), disk.data.read(8192, 300));
      assertArrayEquals(bytes(shared), disk.data.read(8492, 1000));
    }
  }

  @Test
  void severalRanges() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      disk.data.write(0, pattern(8192, 2));
      BlkIo io = disk.driver.newIo().writeZeroes(false);
      for (int i = 0; i < 8; i++) {
        io.range(1024 * i, 512);
      }
      disk.driver.submit(io);
      disk.run();
      io.check();
      byte[] now = disk.data.read(0, 8192);
      for (int i = 0; i < now.length; i++) {
        assertEquals(i / 512 % 2 == 0 ? 0 : pattern(8192, 2)[i], now[i]);
      }
    }
  }

  @Test
  void theCallbackMaySubmitTheRequestAgain() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      List<Long> offsets = new ArrayList<>();
      MemorySegment shared = disk.driver.allocate(512);
      BlkIo io = disk.driver.newIo().read(0).add(shared).attach("mine");
      io.onCompletion(
          ended -> {
            assertTrue(ended.isOk());
            assertSame("mine", ended.attachment());
            offsets.add(ended.offset());
            if (offsets.size() < 5) {
              submit(disk, ended.read(ended.offset() + 512).add(shared));
            }
          });
      disk.driver.submit(io);
      disk.run();
      assertEquals(List.of(0L, 512L, 1024L, 1536L, 2048L), offsets);
    }
  }

  private static void submit(InlineDisk disk, BlkIo io) {
    try {
      disk.driver.submit(io);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void aCallbackThatThrowsHurtsNobodyElse() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      List<BlkIo> all = new ArrayList<>();
      for (int i = 0; i < 10; i++) {
        BlkIo io = disk.driver.newIo().read(512L * i).add(disk.driver.allocate(512));
        all.add(
            io.onCompletion(
                ended -> {
                  throw new IllegalStateException("a bug of the user");
                }));
        disk.driver.submit(io);
      }
      disk.run();
      all.forEach(io -> assertTrue(io.isOk()));
      disk.driver.read(0, heap(new byte[512]));
    }
  }

  @Test
  void whatWaitsForTheRingKeepsItsOrder() throws IOException {
    try (InlineDisk disk = new InlineDisk(way, device -> device.queueSize(8))) {
      List<Integer> order = new ArrayList<>();
      List<Integer> expected = new ArrayList<>();
      MemorySegment shared = disk.driver.allocate(512);
      for (int i = 0; i < 100; i++) {
        BlkIo io = disk.driver.newIo().read(0).add(shared).attach(i);
        io.onCompletion(ended -> order.add((Integer) ended.attachment()));
        disk.driver.submit(io);
        expected.add(i);
      }
      disk.run();
      assertEquals(expected, order);
    }
  }

  @Test
  void aBatchIsNotifiedOnce() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      MemorySegment shared = disk.driver.allocate(512);
      for (int i = 0; i < 16; i++) {
        disk.driver.submit(disk.driver.newIo().read(0).add(shared));
      }
      assertEquals(16, disk.take().size());
      assertEquals(1, disk.transport.notifications(0));
      assertEquals(1, disk.driver.queue(0).counters().notificationsSent());
    }
  }

  @Test
  void aRequestHasOneUseAtATime() throws IOException {
    try (InlineDisk disk = new InlineDisk(way);
        InlineDisk other = new InlineDisk(way)) {
      BlkIo io = disk.driver.newIo().read(0).add(heap(new byte[512]));
      assertThrows(IllegalArgumentException.class, () -> other.driver.submit(io));
      assertThrows(IllegalStateException.class, io::check);
      disk.driver.submit(io);
      assertThrows(IllegalStateException.class, () -> disk.driver.submit(io));
      assertThrows(IllegalStateException.class, io::flush);
      assertThrows(IllegalStateException.class, () -> io.add(heap(new byte[512])));
      disk.run();
      assertTrue(io.isDone());
      assertEquals("READ at 0, 512 bytes", io.toString());
    }
  }

  @Test
  void whatARequestCannotBe() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      BlkDriver driver = disk.driver;
      MemorySegment sector = heap(new byte[512]);
      assertThrows(IllegalStateException.class, () -> driver.newIo().flush().add(sector));
      assertThrows(IllegalStateException.class, () -> driver.newIo().discard().add(sector));
      assertThrows(IllegalStateException.class, () -> driver.newIo().read(0).range(0, 512));
      assertThrows(IllegalArgumentException.class, () -> driver.newIo().discard().range(1, 512));
      assertThrows(
          IllegalArgumentException.class, () -> driver.newIo().read(0).add(heap(new byte[0])));
      assertThrows(
          IllegalArgumentException.class, () -> driver.newIo().read(0).add(sector.asReadOnly()));
      assertThrows(IllegalArgumentException.class, () -> driver.newIo().getId(sector));
      assertRefused(driver, driver.newIo().read(0));
      assertRefused(driver, driver.newIo().read(1).add(sector));
      assertRefused(driver, driver.newIo().write(0).add(heap(new byte[100])));
      assertRefused(driver, driver.newIo().discard());
      assertRefused(driver, driver.newIo().discard().range(0, 1L << 40));
      BlkIo many = driver.newIo().discard();
      for (int i = 0; i < 17; i++) {
        many.range(0, 512);
      }
      assertRefused(driver, many);
      BlkIo segments = driver.newIo().read(0);
      for (int i = 0; i < 128; i++) {
        segments.add(sector);
      }
      assertRefused(driver, segments);
      assertEquals(0, driver.queue(0).counters().added());
    }
  }

  private static void assertRefused(BlkDriver driver, BlkIo io) {
    assertThrows(IllegalArgumentException.class, () -> driver.submit(io));
    assertFalse(io.isBusy());
  }

  @Test
  void aClosedTargetFailsItsOwnRequestOnly() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      Arena arena = Arena.ofShared();
      BlkIo io = disk.driver.newIo().read(0).add(arena.allocate(512));
      disk.driver.submit(io);
      arena.close();
      disk.run();
      assertFalse(io.isOk());
      assertEquals(BlkIo.STATUS_NONE, io.status());
      assertThrows(IOException.class, io::check);
      // The source of a write is gone before the submission.
      assertThrows(
          IllegalStateException.class, () -> disk.driver.submit(io.write(0).add(closed())));
      assertThrows(IOException.class, () -> disk.driver.write(0, closed()));
      disk.driver.read(0, heap(new byte[512]));
    }
  }

  private static MemorySegment closed() {
    try (Arena arena = Arena.ofShared()) {
      return arena.allocate(512);
    }
  }

  @Test
  void flushesAndIds() throws IOException {
    try (InlineDisk disk = new InlineDisk(way, device -> device.serial("abc"))) {
      byte[] id = new byte[VirtioBlk.VIRTIO_BLK_ID_BYTES];
      BlkIo io = disk.driver.newIo().getId(heap(id));
      disk.driver.submit(io);
      BlkIo flush = disk.driver.newIo().flush();
      disk.driver.submit(flush);
      disk.run();
      assertTrue(io.isOk() && flush.isOk());
      assertEquals('a', id[0]);
      assertEquals(0, id[3]);
      assertTrue(
          disk.driver.queue(0).stats().toString().startsWith("FLUSH 1, GET_ID 1, 0 bytes read"),
          disk.driver.queue(0).stats().toString());
    }
  }

  @Test
  void aRequestAllocatesNothing() throws IOException, ReflectiveOperationException {
    try (InlineDisk disk = new InlineDisk(way)) {
      MemorySegment shared = disk.driver.allocate(4096);
      BlkQueue queue = disk.driver.queue(0);
      BlkIo[] ios = new BlkIo[16];
      int[] ended = new int[1];
      for (int i = 0; i < ios.length; i++) {
        ios[i] = disk.driver.newIo().onCompletion(io -> ended[0]++);
      }
      BlkIo range = disk.driver.newIo().onCompletion(io -> ended[0]++);
      run(disk, queue, ios, range, shared, REQUESTS / 4);
      ended[0] = 0;
      long before = allocatedBytes();
      run(disk, queue, ios, range, shared, REQUESTS);
      long allocated = allocatedBytes() - before;
      assertTrue(ended[0] >= REQUESTS, ended[0] + " requests");
      // Compilation, and what the test itself does, may take a little; a request must not.
      assertTrue(allocated < REQUESTS, allocated + " bytes for " + ended[0] + " requests");
    }
  }

  private static void run(
      InlineDisk disk, BlkQueue queue, BlkIo[] ios, BlkIo range, MemorySegment shared, int requests)
      throws IOException {
    for (int done = 0; done < requests; done += ios.length) {
      for (int i = 0; i < ios.length; i++) {
        long at = (i & 7) * 4096L;
        queue.submit((i & 1) == 0 ? ios[i].read(at).add(shared) : ios[i].write(at).add(shared));
      }
      queue.submit(range.discard().range(1 << 20, 4096));
      disk.owner.runUntilIdle();
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
