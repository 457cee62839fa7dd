// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.drivers.blk.InlineDisk.bytes;
import static io.jvirtio.drivers.blk.InlineDisk.heap;
import static io.jvirtio.drivers.blk.InlineDisk.pattern;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.devices.blk.CacheMode;
import io.jvirtio.drivers.Way;
import io.jvirtio.transport.inprocess.InProcessOptions;
import io.jvirtio.transport.inprocess.InProcessTransport;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Reading, writing and the rest by the calls of the driver, on our own device. */
@ParameterizedClass
@EnumSource
class BlkCallsTest {
  @Parameter Way way;

  @Test
  void whatIsWrittenCanBeRead() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      byte[] data = pattern(8192, 1);
      disk.driver.write(1024, heap(data));
      assertArrayEquals(data, disk.data.read(1024, data.length));
      byte[] back = new byte[8192];
      disk.driver.read(1024, heap(back));
      assertArrayEquals(data, back);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theLegacyInterfaceInEitherByteOrder(boolean bigEndian) throws IOException {
    try (InlineDisk disk =
        new InlineDisk(
            device -> device.serial("legacy"),
            driver -> driver,
            (device, owner) ->
                new InProcessTransport(
                    device, owner, InProcessOptions.defaults().withLegacy(bigEndian)))) {
      byte[] data = pattern(4096, 2);
      disk.driver.write(512, heap(data));
      byte[] back = new byte[4096];
      disk.driver.read(512, heap(back));
      assertArrayEquals(data, back);
      assertEquals(InlineDisk.CAPACITY, disk.driver.capacity());
      disk.driver.discard(1024, 512);
      disk.driver.read(512, heap(back));
      assertEquals(0, back[600]);
      assertEquals("legacy", disk.driver.serial());
    }
  }

  @Test
  void sharedMemoryIsUsedInPlace() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      MemorySegment shared = disk.driver.allocate(4096);
      byte[] data = pattern(4096, 3);
      disk.data.write(0, data);
      long before = disk.driver.memory().allocated();
      disk.driver.read(0, shared);
      assertEquals(before, disk.driver.memory().allocated());
      assertArrayEquals(data, bytes(shared));
      shared.fill((byte) 9);
      disk.driver.write(512, shared);
      assertArrayEquals(bytes(shared), disk.data.read(512, 4096));
      disk.driver.release(shared);
    }
  }

  @Test
  void memoryOfOneThreadIsCopiedByTheCaller() throws IOException {
    try (InlineDisk disk = new InlineDisk(way);
        Arena confined = Arena.ofConfined()) {
      MemorySegment mine = confined.allocate(2048);
      disk.data.write(0, pattern(2048, 4));
      disk.driver.read(0, mine);
      assertArrayEquals(pattern(2048, 4), bytes(mine));
      assertThrows(IllegalArgumentException.class, () -> disk.driver.readAsync(0, mine));
      assertThrows(IllegalArgumentException.class, () -> disk.driver.newIo().read(0).add(mine));
    }
  }

  @Test
  void largeTransfersAreSplit() throws IOException {
    try (InlineDisk disk =
        new InlineDisk(way, device -> device, driver -> driver.maxRequestBytes(65536))) {
      byte[] data = pattern(3 << 20, 5);
      disk.driver.write(512, heap(data));
      assertArrayEquals(data, disk.data.read(512, data.length));
      byte[] back = new byte[data.length];
      disk.driver.read(512, heap(back));
      assertArrayEquals(data, back);
      assertEquals(48, disk.device.stats().requests(BlkRequestType.IN));
      assertEquals(data.length, disk.driver.queue(0).stats().bytesWritten());
      assertEquals(48, disk.driver.queue(0).stats().requests(BlkOperation.WRITE));
    }
  }

  @Test
  void oneSegmentLongerThanTheDeviceTakesIsDescribedBySeveral() throws IOException {
    try (InlineDisk disk =
        new InlineDisk(way, device -> device, driver -> driver.maxRequestBytes(64 << 20))) {
      // seg_max 126 of size_max 1 MiB.
      assertEquals(126L << 20, disk.driver.limits().maxRequestBytes());
      byte[] data = pattern(32 << 20, 6);
      disk.driver.write(0, heap(data));
      assertEquals(1, disk.driver.queue(0).stats().requests(BlkOperation.WRITE));
      assertArrayEquals(data, disk.data.read(0, data.length));
    }
  }

  @Test
  void bounceMemoryIsUsedAgain() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      byte[] data = pattern(100_352, 7);
      disk.driver.write(0, heap(data));
      long allocated = disk.driver.memory().allocated();
      for (int i = 0; i < 100; i++) {
        disk.driver.write(512L * i, heap(data));
      }
      assertEquals(allocated, disk.driver.memory().allocated());
    }
  }

  @Test
  void nothingIsKeptThatExceedsTheLimit() throws IOException {
    try (InlineDisk disk = new InlineDisk(way, device -> device, driver -> driver.bounceBytes(0))) {
      long before = disk.driver.memory().allocated();
      disk.driver.write(0, heap(pattern(1 << 20, 8)));
      assertEquals(before, disk.driver.memory().allocated());
    }
  }

  @Test
  void discardsWriteZeroesAndErasesAreSplitByTheirLimits() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      disk.data.write(0, pattern(1 << 20, 9));
      disk.driver.discard(0, 65536);
      assertArrayEquals(new byte[65536], disk.data.read(0, 65536));
      disk.driver.writeZeroes(65536, 65536, true);
      disk.driver.writeZeroes(131_072, 512, false);
      disk.driver.secureErase(131_584, 65536 - 512);
      assertArrayEquals(new byte[3 * 65536], disk.data.read(0, 3 * 65536));
      assertArrayEquals(
          java.util.Arrays.copyOfRange(pattern(1 << 20, 9), 3 * 65536, 1 << 20),
          disk.data.read(3 * 65536, (1 << 20) - 3 * 65536));
      BlkStats stats = disk.driver.queue(0).stats();
      assertEquals(1, stats.requests(BlkOperation.DISCARD));
      assertEquals(2, stats.requests(BlkOperation.WRITE_ZEROES));
      assertEquals(1, stats.requests(BlkOperation.SECURE_ERASE));
    }
  }

  @Test
  void anEmptyTransferDoesNothing() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      disk.driver.read(0, heap(new byte[0]));
      disk.driver.write(InlineDisk.CAPACITY, heap(new byte[0]));
      disk.driver.discard(512, 0);
      disk.driver.readAsync(0, heap(new byte[0])).join();
      assertEquals(0, disk.driver.queue(0).stats().requests(BlkOperation.READ));
    }
  }

  @Test
  void whatCannotBeIsRefusedBeforeTheDeviceSeesIt() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      BlkDriver driver = disk.driver;
      MemorySegment sector = heap(new byte[512]);
      IllegalArgumentException odd =
          assertThrows(IllegalArgumentException.class, () -> driver.read(100, sector));
      assertTrue(odd.getMessage().contains("multiples of 512"), odd.getMessage());
      assertThrows(IllegalArgumentException.class, () -> driver.write(0, heap(new byte[100])));
      assertThrows(IllegalArgumentException.class, () -> driver.discard(0, 100));
      assertThrows(IllegalArgumentException.class, () -> driver.discard(-512, 512));
      assertThrows(IllegalArgumentException.class, () -> driver.read(0, sector.asReadOnly()));
      IOException outside =
          assertThrows(IOException.class, () -> driver.read(InlineDisk.CAPACITY, sector));
      assertTrue(outside.getMessage().contains("capacity"), outside.getMessage());
      assertThrows(IOException.class, () -> driver.writeAsync(InlineDisk.CAPACITY, sector));
      assertThrows(IOException.class, () -> driver.read(Long.MAX_VALUE & -512, sector));
      assertThrows(IOException.class, () -> driver.discard(0, Long.MAX_VALUE & -512));
      assertThrows(UnsupportedOperationException.class, driver::lifetime);
      assertEquals(0, driver.queue(0).counters().added());
    }
  }

  @Test
  void aReadOnlyDiskIsNotWrittenTo() throws IOException {
    try (InlineDisk disk = new InlineDisk(way, device -> device.readOnly(true))) {
      assertTrue(disk.driver.isReadOnly());
      IOException refused =
          assertThrows(IOException.class, () -> disk.driver.write(0, heap(new byte[512])));
      assertTrue(refused.getMessage().contains("read-only"), refused.getMessage());
      assertThrows(
          IOException.class,
          () -> disk.driver.submit(disk.driver.newIo().write(0).add(heap(new byte[512]))));
      disk.driver.read(0, heap(new byte[512]));
      disk.driver.flush();
    }
  }

  @Test
  void whatTheDeviceDoesNotOfferIsUnsupported() throws IOException {
    try (InlineDisk disk = new InlineDisk(way, device -> device.discard(false))) {
      assertThrows(UnsupportedOperationException.class, () -> disk.driver.discard(0, 512));
      assertThrows(
          UnsupportedOperationException.class,
          () -> disk.driver.submit(disk.driver.newIo().discard().range(0, 512)));
      assertEquals(0, disk.driver.limits().maxDiscardBytes());
    }
  }

  @Test
  void informationAboutTheDisk() throws IOException {
    try (InlineDisk disk =
        new InlineDisk(way, device -> device.serial("0123456789abcdefghij").blockSize(4096))) {
      BlkDriver driver = disk.driver;
      assertEquals("0123456789abcdefghij", driver.serial());
      assertEquals(4096, driver.blockSize());
      assertEquals(4096, driver.topology().orElseThrow().physicalBlockSize());
      assertEquals(16, driver.geometry().orElseThrow().heads());
      assertEquals(InlineDisk.CAPACITY, driver.capacity());
      assertFalse(driver.isReadOnly());
      assertTrue(driver.features().contains("VIRTIO_BLK_F_DISCARD"));
      boolean modern = !driver.device().transport().isLegacy();
      assertEquals(modern, driver.features().contains("VIRTIO_F_VERSION_1"));
      assertEquals(1, driver.queues().size());
      assertTrue(driver.toString().contains("67108864 bytes"), driver.toString());
    }
  }

  @Test
  void theCapacityFollowsTheDevice() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      List<Long> heard = new ArrayList<>();
      disk.driver.onCapacityChange(heard::add);
      disk.data.resize(1 << 20);
      disk.device.refreshSize();
      assertEquals(1 << 20, disk.driver.capacity());
      assertThrows(IOException.class, () -> disk.driver.read(1 << 20, heap(new byte[512])));
      disk.data.resize(8 << 20);
      disk.device.refreshSize();
      disk.driver.read(1 << 20, heap(new byte[512]));
      assertEquals(List.of(1L << 20, 8L << 20), heard);
    }
  }

  @Test
  void theCacheModeCanBeChanged() throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      assertTrue(disk.driver.writeback());
      disk.driver.setWriteback(false);
      assertFalse(disk.driver.writeback());
      // What was written before is stable now too.
      assertEquals(1, disk.device.stats().requests(BlkRequestType.FLUSH));
      disk.driver.setWriteback(true);
      assertTrue(disk.driver.writeback());
    }
    try (InlineDisk disk = new InlineDisk(way, device -> device.cache(CacheMode.WRITETHROUGH))) {
      assertFalse(disk.driver.writeback());
    }
  }

  @Test
  void futures() throws IOException {
    try (InlineDisk disk =
        new InlineDisk(way, device -> device, driver -> driver.maxRequestBytes(4096))) {
      byte[] data = pattern(1 << 20, 11);
      CompletableFuture<Void> write = disk.driver.writeAsync(0, heap(data));
      assertFalse(write.isDone());
      disk.run();
      assertTrue(write.isDone());
      byte[] back = new byte[1 << 20];
      List<CompletableFuture<Void>> all =
          List.of(
              disk.driver.readAsync(0, heap(back)),
              disk.driver.flushAsync(),
              disk.driver.discardAsync(2 << 20, 4096),
              disk.driver.writeZeroesAsync(3 << 20, 4096, false));
      disk.run();
      all.forEach(CompletableFuture::join);
      assertArrayEquals(data, back);
    }
  }

  @Test
  void aFailedPieceFailsTheWhole() throws IOException {
    try (InlineDisk disk =
        new InlineDisk(way, device -> device, driver -> driver.maxRequestBytes(4096))) {
      // The driver does not know yet that the disk has shrunk.
      disk.driver.onCapacityChange(bytes -> {});
      disk.data.resize(8192);
      byte[] target = new byte[1 << 20];
      IOException error = assertThrows(IOException.class, () -> disk.driver.read(0, heap(target)));
      assertTrue(error.getMessage().contains("VIRTIO_BLK_S_IOERR"), error.getMessage());
      CompletableFuture<Void> future = disk.driver.readAsync(0, heap(target));
      disk.run();
      CompletionException failed = assertThrows(CompletionException.class, future::join);
      assertInstanceOf(IOException.class, failed.getCause());
      assertTrue(disk.driver.queue(0).stats().ioErrors() > 1);
    }
  }
}
