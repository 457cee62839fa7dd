// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import static io.jvirtio.backends.ImageDriver.SECTOR;
import static io.jvirtio.backends.ImageDriver.pattern;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_IOERR;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_T_IN;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_T_OUT;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileOptions.Engine;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.devices.blk.CacheMode;
import io.jvirtio.linux.FileStatus;
import io.jvirtio.testkit.BlkRequests;
import io.jvirtio.testkit.BlkRequests.Segment;
import io.jvirtio.testkit.ChainBuilder;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.testkit.ScriptedDriver.Used;
import io.jvirtio.testkit.TestChain;
import io.jvirtio.testkit.TestMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.CsvSource;

/** Requests against a regular file, by every engine, cached and direct. */
@ParameterizedClass
@CsvSource({"AUTO, false", "AUTO, true", "WORKERS, false", "WORKERS, true"})
class RawFileTest {
  private static final int CAPACITY = 8 << 20;

  @Parameter(0)
  Engine engine;

  @Parameter(1)
  boolean direct;

  @TempDir(factory = TargetFolder.class)
  Path folder;

  private RawFileOptions sparse() throws IOException {
    return ImageDriver.options(ImageDriver.sparse(folder, CAPACITY), engine, direct);
  }

  private RawFileOptions filled() throws IOException {
    RawFileOptions options = sparse();
    Files.write(options.path(), pattern(CAPACITY, 1));
    return options;
  }

  private static void assertData(byte[] expected, TestChain request) {
    assertEquals(VIRTIO_BLK_S_OK, BlkRequests.status(request));
    assertArrayEquals(expected, BlkRequests.data(request));
  }

  @Test
  void whatWasWrittenIsInTheImageAndReadBack() throws IOException {
    RawFileOptions options = sparse();
    try (ImageDriver driver = new ImageDriver(options)) {
      byte[] data = pattern(12 * SECTOR, 5);
      assertEquals(VIRTIO_BLK_S_OK, driver.write(8, data));
      assertEquals(VIRTIO_BLK_S_OK, driver.flush());
      assertData(data, driver.read(8, data.length));
      assertArrayEquals(data, ImageDriver.bytes(options.path(), 8 * SECTOR, data.length));
    }
  }

  private static ChainBuilder indirect(ImageDriver driver, int type, long sector) {
    byte[] header = BlkRequests.header(type, sector, ByteOrder.LITTLE_ENDIAN);
    return driver.queue().chain().indirect().readable(header);
  }

  @Test
  void segmentsOfAnySize() throws IOException {
    RawFileOptions options = filled();
    byte[] expected = pattern(CAPACITY, 1);
    try (ImageDriver driver = new ImageDriver(options)) {
      Random random = new Random(42);
      for (int round = 0; round < 60; round++) {
        int sectors = 1 + random.nextInt(600);
        long sector = random.nextInt(CAPACITY / SECTOR - sectors);
        int[] cuts =
            random.ints(random.nextInt(300), 1, sectors * SECTOR).distinct().sorted().toArray();
        int from = (int) sector * SECTOR;
        if (round % 2 == 0) {
          byte[] data = pattern(sectors * SECTOR, round);
          System.arraycopy(data, 0, expected, from, data.length);
          int[] shifted = Arrays.stream(cuts).map(cut -> cut + 16).toArray();
          ChainBuilder chain = indirect(driver, VIRTIO_BLK_T_OUT, sector).readable(data);
          assertEquals(VIRTIO_BLK_S_OK, driver.status(chain.splitReadable(shifted).writable(1)));
        } else {
          ChainBuilder chain = indirect(driver, VIRTIO_BLK_T_IN, sector);
          TestChain read = driver.run(chain.writable(sectors * SECTOR + 1).splitWritable(cuts));
          assertData(Arrays.copyOfRange(expected, from, from + sectors * SECTOR), read);
        }
      }
    }
    assertArrayEquals(expected, Files.readAllBytes(options.path()));
  }

  @Test
  void manyAtOnceEndAll() throws IOException {
    RawFileOptions options = filled();
    byte[] all = pattern(CAPACITY, 1);
    try (ImageDriver driver = new ImageDriver(options)) {
      for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++) {
          BlkRequests.in(driver.queue(), i * 100L, 8 * SECTOR).submit();
        }
        driver.bench.awaitUsed(0, 64);
        for (Used used : driver.queue().pollAll()) {
          byte[] header = used.chain().readableBytes();
          int from = ((header[8] & 0xff) | (header[9] & 0xff) << 8) * SECTOR;
          assertData(Arrays.copyOfRange(all, from, from + 8 * SECTOR), used.chain());
        }
      }
      assertEquals(20 * 64, driver.stats().requests(BlkRequestType.IN));
      assertEquals(20L * 64 * 8 * SECTOR, driver.stats().bytesRead());
    }
  }

  @Test
  void moreRequestsThanBounceBuffers() throws IOException {
    RawFileOptions options = sparse();
    byte[] expected = new byte[CAPACITY];
    try (ImageDriver driver = new ImageDriver(options)) {
      // Each starts at an odd address, which direct output cannot take.
      int bytes = 300 * SECTOR;
      for (int i = 0; i < 3 * BouncePool.MAX; i++) {
        byte[] data = pattern(bytes, i);
        System.arraycopy(data, 0, expected, i * bytes, bytes);
        BlkRequests.out(driver.queue(), i * 300L, data).splitReadable(1).submit();
      }
      driver.bench.awaitUsed(0, 3 * BouncePool.MAX);
      for (Used used : driver.queue().pollAll()) {
        assertEquals(VIRTIO_BLK_S_OK, BlkRequests.status(used.chain()));
      }
    }
    assertArrayEquals(expected, Files.readAllBytes(options.path()));
  }

  @Test
  void discardGivesSpaceBack() throws IOException {
    RawFileOptions options = filled();
    try (ImageDriver driver = new ImageDriver(options)) {
      driver.flush();
      long before = FileStatus.of(options.path()).allocated();
      assertEquals(VIRTIO_BLK_S_OK, driver.discard(0, CAPACITY / 2 / SECTOR));
      long after = FileStatus.of(options.path()).allocated();
      assertTrue(after <= before - CAPACITY / 2, before + " to " + after);
      assertEquals(CAPACITY, Files.size(options.path()));
    }
  }

  @Test
  void discardOffKeepsSpace() throws IOException {
    RawFileOptions options = filled().withDiscard(false);
    try (ImageDriver driver = new ImageDriver(options)) {
      driver.flush();
      long before = FileStatus.of(options.path()).allocated();
      assertEquals(VIRTIO_BLK_S_OK, driver.writeZeroes(0, CAPACITY / SECTOR, true));
      assertTrue(FileStatus.of(options.path()).allocated() >= before);
      assertData(new byte[4 * SECTOR], driver.read(0, 4 * SECTOR));
      assertEquals(2, driver.discard(0, 8), "not offered, so unsupported");
    }
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "After a write zeroes command is completed, reads of the specified ranges of sectors MUST"
              + " return zeroes.")
  void writtenZeroesAreRead() throws IOException {
    RawFileOptions options = filled();
    byte[] expected = pattern(CAPACITY, 1);
    try (ImageDriver driver = new ImageDriver(options)) {
      for (int i = 0; i < 2; i++) {
        int from = (3 + i * 1000) * SECTOR;
        assertEquals(VIRTIO_BLK_S_OK, driver.writeZeroes(3 + i * 1000, 501, i == 1));
        Arrays.fill(expected, from, from + 501 * SECTOR, (byte) 0);
      }
      assertData(Arrays.copyOf(expected, 2000 * SECTOR), driver.read(0, 2000 * SECTOR));
    }
    assertArrayEquals(expected, Files.readAllBytes(options.path()));
  }

  @Test
  void severalRanges() throws IOException {
    RawFileOptions options = filled();
    byte[] expected = pattern(CAPACITY, 1);
    Segment[] segments = new Segment[32];
    for (int i = 0; i < segments.length; i++) {
      segments[i] = new Segment(i * 64, 16, i & 1);
      Arrays.fill(expected, i * 64 * SECTOR, (i * 64 + 16) * SECTOR, (byte) 0);
    }
    try (ImageDriver driver = new ImageDriver(options)) {
      assertEquals(
          VIRTIO_BLK_S_OK, driver.status(BlkRequests.writeZeroes(driver.queue(), segments)));
    }
    assertArrayEquals(expected, Files.readAllBytes(options.path()));
  }

  @Test
  void writethrough() throws IOException {
    RawFileOptions options = filled();
    byte[] expected = pattern(CAPACITY, 1);
    try (ImageDriver driver =
        new ImageDriver(options, BlkOptions.builder().cache(CacheMode.WRITETHROUGH).build())) {
      byte[] data = pattern(64 * SECTOR, 9);
      assertEquals(VIRTIO_BLK_S_OK, driver.write(16, data));
      System.arraycopy(data, 0, expected, 16 * SECTOR, data.length);
      assertEquals(
          VIRTIO_BLK_S_OK,
          driver.status(BlkRequests.out(driver.queue(), 96, data).splitReadable(700, 9000)));
      System.arraycopy(data, 0, expected, 96 * SECTOR, data.length);
      assertEquals(VIRTIO_BLK_S_OK, driver.writeZeroes(320, 8, false));
      Arrays.fill(expected, 320 * SECTOR, 328 * SECTOR, (byte) 0);
    }
    assertArrayEquals(expected, Files.readAllBytes(options.path()));
  }

  @Test
  void anImageThatWasCutIsAnError() throws IOException {
    RawFileOptions options = filled();
    try (ImageDriver driver = new ImageDriver(options)) {
      ImageDriver.truncate(options.path(), CAPACITY / 2);
      long sector = CAPACITY / 2 / SECTOR;
      assertEquals(VIRTIO_BLK_S_IOERR, BlkRequests.status(driver.read(sector, SECTOR * 8)));
      // Half in, half out: a short read, and then nothing.
      TestChain crossing = driver.read(sector - 8, SECTOR * 16);
      assertEquals(VIRTIO_BLK_S_IOERR, BlkRequests.status(crossing));
      assertEquals(2, driver.stats().ioErrors());
      assertEquals(VIRTIO_BLK_S_OK, BlkRequests.status(driver.read(sector - 8, SECTOR * 8)));
    }
  }

  @Test
  void growthReachesTheDriver() throws IOException {
    RawFileOptions options = filled();
    try (ImageDriver driver = new ImageDriver(options)) {
      BlkDevice device = (BlkDevice) driver.bench.host().device();
      ImageDriver.truncate(options.path(), 2 * CAPACITY + 100);
      assertEquals(2 * CAPACITY, device.refreshSize());
      assertEquals(1, driver.bench.configurationChanges());
      assertEquals(2 * CAPACITY / SECTOR, driver.bench.host().config().get("capacity"));
      byte[] data = pattern(8 * SECTOR, 3);
      assertEquals(VIRTIO_BLK_S_OK, driver.write(CAPACITY / SECTOR, data));
      assertData(data, driver.read(CAPACITY / SECTOR, data.length));
    }
  }

  @Test
  void resetWithRequestsInFlight() throws IOException {
    RawFileOptions options = filled();
    try (ImageDriver driver = ImageDriver.threaded(options)) {
      for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++) {
          BlkRequests.in(driver.queue(), i, 64 * SECTOR).add();
        }
        driver.queue().publish();
        if (round % 2 == 0) {
          driver.bench.run();
        }
        driver.bench.restart();
        assertEquals(VIRTIO_BLK_S_OK, driver.flush());
      }
    }
  }

  @Test
  void theLockEndsWithTheBackEnd() throws IOException {
    RawFileOptions options = filled();
    for (int i = 0; i < 20; i++) {
      try (ImageDriver driver = new ImageDriver(options)) {
        assertEquals(VIRTIO_BLK_S_OK, BlkRequests.status(driver.read(0, 8 * SECTOR)));
      }
    }
  }

  @Test
  void guestMemoryThatVanishesIsAnError() throws IOException {
    RawFileOptions options = filled();
    Path ram = folder.resolve("ram");
    ImageDriver.truncate(ram, 1 << 20);
    long upper = 1L << 32;
    try (FileChannel file = FileChannel.open(ram, READ, WRITE);
        Arena arena = Arena.ofShared();
        TestMemory memory =
            TestMemory.builder()
                .region(0, 4 << 20)
                .region(upper, file.map(MapMode.READ_WRITE, 0, 1 << 20, arena))
                .build();
        ImageDriver driver = new ImageDriver(options, memory)) {
      file.truncate(0);
      byte[] header = BlkRequests.header(VIRTIO_BLK_T_IN, 8, ByteOrder.LITTLE_ENDIAN);
      // Aligned memory goes to the kernel, other memory through a bounce buffer.
      for (int skip : new int[] {0, 1}) {
        ChainBuilder chain = driver.queue().chain().readable(header);
        TestChain read = driver.run(chain.writableAt(upper + skip, 8 * SECTOR).writable(1));
        assertEquals(VIRTIO_BLK_S_IOERR, driver.statusByte(read));
      }
      header = BlkRequests.header(VIRTIO_BLK_T_OUT, 8, ByteOrder.LITTLE_ENDIAN);
      for (int skip : new int[] {0, 1}) {
        ChainBuilder chain = driver.queue().chain().readable(header);
        TestChain write = driver.run(chain.readableAt(upper + skip, 8 * SECTOR).writable(1));
        assertEquals(VIRTIO_BLK_S_IOERR, driver.statusByte(write));
      }
      assertEquals(4, driver.stats().ioErrors());
      assertData(Arrays.copyOf(pattern(CAPACITY, 1), 8 * SECTOR), driver.read(0, 8 * SECTOR));
    }
  }

  @Test
  void readOnly() throws IOException {
    RawFileOptions options = filled().withReadOnly(true);
    try (ImageDriver driver = new ImageDriver(options)) {
      assertEquals(VIRTIO_BLK_S_IOERR, driver.write(0, pattern(SECTOR, 9)));
      assertEquals(VIRTIO_BLK_S_OK, driver.flush());
      assertData(pattern(8 * SECTOR, 1), driver.read(0, 8 * SECTOR));
    }
    assertArrayEquals(pattern(CAPACITY, 1), Files.readAllBytes(options.path()));
  }

  @Test
  void anImageThatGrewByAnotherWriterIsStillServedAsItWas() throws IOException {
    RawFileOptions options = filled();
    try (ImageDriver driver = new ImageDriver(options)) {
      Files.write(options.path(), new byte[SECTOR], StandardOpenOption.APPEND);
      assertEquals(VIRTIO_BLK_S_IOERR, BlkRequests.status(driver.read(CAPACITY / SECTOR, SECTOR)));
    }
  }
}
