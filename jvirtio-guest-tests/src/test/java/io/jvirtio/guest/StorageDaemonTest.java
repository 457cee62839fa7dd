// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkIo;
import io.jvirtio.drivers.blk.BlkOperation;
import io.jvirtio.drivers.blk.BlkStats;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Our block driver against the block device of qemu-storage-daemon, an old one and a new one. */
class StorageDaemonTest {
  private static final int MIB = 1 << 20;
  private static final int SIZE = 32 * MIB;

  @TempDir Path folder;

  private StorageDaemon serve(StorageDaemon.Version version, Path image, String... export)
      throws Exception {
    return new StorageDaemon(version, folder, image, folder.resolve("disk.sock"), export);
  }

  @ParameterizedTest
  @EnumSource
  void everyRequestDoesToTheImageWhatItSays(StorageDaemon.Version version) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, SIZE);
    byte[] expected = Files.readAllBytes(image);
    try (StorageDaemon daemon = serve(version, image, "writable=on");
        DrivenDisk disk = new DrivenDisk(daemon.socket())) {
      BlkDriver driver = disk.driver();
      assertEquals(SIZE, driver.capacity());
      assertEquals(512, driver.blockSize());
      assertFalse(driver.isReadOnly());
      assertEquals("vhost_user_blk", driver.serial());

      byte[] all = new byte[SIZE];
      driver.read(0, MemorySegment.ofArray(all));
      Patterns.assertSame(expected, all, "what was read");

      // From the heap, larger than a request may be, and neither end at a page.
      put(driver, expected, 7 * 512, Patterns.random(2, 3 * MIB + 512));
      // From shared memory.
      MemorySegment shared = driver.allocate(MIB);
      byte[] mib = Patterns.random(3, MIB);
      shared.copyFrom(MemorySegment.ofArray(mib));
      driver.write(8 * MIB, shared);
      System.arraycopy(mib, 0, expected, 8 * MIB, MIB);
      driver.flush();
      Patterns.assertSame(expected, Files.readAllBytes(image), "the image");

      driver.writeZeroes(12 * MIB + 512, MIB, false);
      Arrays.fill(expected, 12 * MIB + 512, 13 * MIB + 512, (byte) 0);
      driver.flush();
      Patterns.assertSame(expected, Files.readAllBytes(image), "the image with zeroes");
      shared.fill((byte) 1);
      driver.read(12 * MIB + 512, shared);
      Patterns.assertSame(new byte[MIB], shared, "the zeroes");

      long before = Host.allocated(image);
      driver.discard(16 * MIB, 8 * MIB);
      driver.flush();
      long after = Host.allocated(image);
      assertTrue(before - after >= 7L * MIB, "allocated " + before + ", then " + after);
      byte[] now = Files.readAllBytes(image);
      System.arraycopy(now, 16 * MIB, expected, 16 * MIB, 8 * MIB);
      Patterns.assertSame(expected, now, "the image around the hole");
      driver.release(shared);
      BlkStats stats = driver.queue(0).stats();
      assertEquals(0, stats.ioErrors() + stats.unsupported() + stats.failed(), stats.toString());
    }
  }

  private static void put(BlkDriver driver, byte[] expected, int at, byte[] bytes)
      throws IOException {
    driver.write(at, MemorySegment.ofArray(bytes));
    System.arraycopy(bytes, 0, expected, at, bytes.length);
  }

  @ParameterizedTest
  @EnumSource
  void whatTheDeviceCannotTakeIsSplitOrRefused(StorageDaemon.Version version) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, SIZE);
    byte[] expected = Files.readAllBytes(image);
    try (StorageDaemon daemon = serve(version, image, "writable=on");
        DrivenDisk disk =
            new DrivenDisk(
                daemon.socket(),
                1,
                options -> options.maxRequestBytes(64 << 10).maxSegments(16),
                DriverDevice.ringFeatures())) {
      BlkDriver driver = disk.driver();
      put(driver, expected, 512, Patterns.random(2, MIB));
      assertTrue(driver.queue(0).stats().requests(BlkOperation.WRITE) >= 16);
      assertEquals(16, driver.limits().maxSegments());

      BlkIo large = driver.newIo().write(0);
      MemorySegment sectors = driver.allocate(17 * 512);
      for (int i = 0; i < 17; i++) {
        large.add(sectors.asSlice(i * 512, 512));
      }
      assertThrows(IllegalArgumentException.class, () -> driver.submit(large));
      assertThrows(IllegalArgumentException.class, () -> driver.read(256, sectors));
      assertThrows(IllegalArgumentException.class, () -> driver.write(0, sectors.asSlice(0, 4000)));
      assertThrows(IOException.class, () -> driver.read(SIZE - 512, sectors));
      assertThrows(IOException.class, () -> driver.discard(SIZE, 512));
      assertThrows(UnsupportedOperationException.class, () -> driver.secureErase(0, 512));

      byte[] back = new byte[MIB];
      driver.read(512, MemorySegment.ofArray(back));
      Patterns.assertSame(Arrays.copyOfRange(expected, 512, 512 + MIB), back, "what was read");
      driver.flush();
    }
    Patterns.assertSame(expected, Files.readAllBytes(image), "the image");
  }

  @ParameterizedTest
  @EnumSource
  void fourThreadsUseFourQueuesAtOnce(StorageDaemon.Version version) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    try (StorageDaemon daemon = serve(version, image, "writable=on", "num-queues=4");
        DrivenDisk disk =
            new DrivenDisk(
                daemon.socket(), 4, UnaryOperator.identity(), DriverDevice.ringFeatures())) {
      BlkDriver driver = disk.driver();
      assertEquals(4, driver.queues().size());
      Writers writers = new Writers(driver, SIZE, 16, 1);
      writers.begin();
      writers.await();
      writers.assertNoneFailed();
      driver.flush();
      assertEquals(SIZE, writers.bytes());
      for (int i = 0; i < 4; i++) {
        long requests = driver.queue(i).stats().requests(BlkOperation.WRITE);
        assertEquals(SIZE / Writers.BLOCK / 4, requests, "queue " + i);
      }
      Patterns.assertSame(writers.expected(), Files.readAllBytes(image), "the image");
    }
  }

  @ParameterizedTest
  @CsvSource({"HOST,true,false", "HOST,false,true", "LAB,false,false", "LAB,true,true"})
  void ringFeaturesAreWhatWasAllowed(
      StorageDaemon.Version version, boolean eventIndex, boolean indirect) throws Exception {
    FeatureBits allowed = FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1);
    allowed = eventIndex ? allowed.with(ReservedFeatures.VIRTIO_F_EVENT_IDX) : allowed;
    allowed = indirect ? allowed.with(ReservedFeatures.VIRTIO_F_INDIRECT_DESC) : allowed;
    Path image = Host.image(folder, "disk.img", SIZE);
    try (StorageDaemon daemon = serve(version, image, "writable=on");
        DrivenDisk disk = new DrivenDisk(daemon.socket(), 1, UnaryOperator.identity(), allowed)) {
      DriverDevice device = disk.driver().device();
      assertEquals(eventIndex, device.hasFeature(ReservedFeatures.VIRTIO_F_EVENT_IDX));
      assertEquals(indirect, device.hasFeature(ReservedFeatures.VIRTIO_F_INDIRECT_DESC));
      // More than fit in the ring at three descriptors each.
      Writers writers = new Writers(disk.driver(), SIZE, 64, 1);
      writers.begin();
      writers.await();
      writers.assertNoneFailed();
      byte[] back = new byte[SIZE];
      disk.driver().read(0, MemorySegment.ofArray(back));
      Patterns.assertSame(writers.expected(), back, "what was read");
      Patterns.assertSame(back, Files.readAllBytes(image), "the image");
    }
  }

  /** Neither of the two has packed virtqueues, nor keeps the order: ours takes what there is. */
  @ParameterizedTest
  @EnumSource
  void ringsAreSplitBecauseNoOthersAreOffered(StorageDaemon.Version version) throws Exception {
    FeatureBits unknown =
        FeatureBits.of(
            ReservedFeatures.VIRTIO_F_RING_PACKED,
            ReservedFeatures.VIRTIO_F_IN_ORDER,
            ReservedFeatures.VIRTIO_F_RING_RESET);
    assertTrue(unknown.isSubsetOf(DriverDevice.ringFeatures()));
    Path image = Host.image(folder, "disk.img", SIZE);
    try (StorageDaemon daemon = serve(version, image);
        DrivenDisk disk = new DrivenDisk(daemon.socket())) {
      DriverDevice device = disk.driver().device();
      assertEquals(FeatureBits.NONE, device.offeredFeatures().and(unknown));
      assertEquals(FeatureBits.NONE, device.features().and(unknown));
    }
  }

  /** Of the two only the new one tells its front-end; the old one keeps the old capacity. */
  @Test
  void capacityFollowsTheImage() throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, SIZE);
    try (StorageDaemon daemon = serve(StorageDaemon.Version.LAB, image, "writable=on");
        DrivenDisk disk = new DrivenDisk(daemon.socket())) {
      BlkDriver driver = disk.driver();
      byte[] sector = Patterns.random(2, 512);
      MemorySegment data = MemorySegment.ofArray(sector);
      assertThrows(IOException.class, () -> driver.write(SIZE, data));
      assertEquals(2L * SIZE, resize(daemon, driver, 2L * SIZE));
      assertEquals(2L * SIZE, driver.capacity());
      driver.write(2L * SIZE - 512, data);
      driver.flush();
      byte[] all = Files.readAllBytes(image);
      Patterns.assertSame(sector, Arrays.copyOfRange(all, 2 * SIZE - 512, 2 * SIZE), "the end");
      assertEquals(SIZE / 2, resize(daemon, driver, SIZE / 2));
      assertThrows(IOException.class, () -> driver.write(SIZE / 2, data));
      driver.write(SIZE / 2 - 512, data);
    }
  }

  private static long resize(StorageDaemon daemon, BlkDriver driver, long bytes) throws Exception {
    CompletableFuture<Long> heard = new CompletableFuture<>();
    driver.onCapacityChange(heard::complete);
    daemon.resize(bytes);
    return heard.get(30, TimeUnit.SECONDS);
  }

  @ParameterizedTest
  @EnumSource
  void readOnlyExportRefusesEveryChange(StorageDaemon.Version version) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, MIB);
    byte[] expected = Files.readAllBytes(image);
    try (StorageDaemon daemon = serve(version, image, "writable=off");
        DrivenDisk disk = new DrivenDisk(daemon.socket())) {
      BlkDriver driver = disk.driver();
      assertTrue(driver.isReadOnly());
      byte[] back = new byte[MIB];
      MemorySegment data = MemorySegment.ofArray(back);
      driver.read(0, data);
      Patterns.assertSame(expected, back, "what was read");
      data.fill((byte) 0);
      assertThrows(IOException.class, () -> driver.write(0, data));
      BlkIo io = driver.newIo().write(0).add(data);
      assertThrows(IOException.class, () -> driver.submit(io));
      driver.flush();
    }
    Patterns.assertSame(expected, Files.readAllBytes(image), "the image");
  }

  @ParameterizedTest
  @EnumSource
  void blocksOf4096AreKept(StorageDaemon.Version version) throws Exception {
    Path image = Patterns.image(folder, "disk.img", 1, MIB);
    byte[] expected = Files.readAllBytes(image);
    try (StorageDaemon daemon =
            serve(version, image, "writable=on", "logical-block-size=4096", "num-queues=2");
        DrivenDisk disk = new DrivenDisk(daemon.socket())) {
      BlkDriver driver = disk.driver();
      assertEquals(4096, driver.blockSize());
      assertEquals(1, driver.queues().size());
      put(driver, expected, 4096, Patterns.random(2, 5 * 4096));
      MemorySegment sector = driver.allocate(512);
      // A multiple of 512 the driver lets through; this device takes whole blocks only.
      IOException refused = assertThrows(IOException.class, () -> driver.write(512, sector));
      assertTrue(refused.getMessage().contains("VIRTIO_BLK_S_"), refused.getMessage());
      byte[] back = new byte[MIB];
      driver.read(0, MemorySegment.ofArray(back));
      Patterns.assertSame(expected, back, "what was read");
      driver.flush();
    }
    Patterns.assertSame(expected, Files.readAllBytes(image), "the image");
  }
}
