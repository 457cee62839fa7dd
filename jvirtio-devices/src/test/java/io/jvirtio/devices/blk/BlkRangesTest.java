// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.devices.blk.BlkDriver.SECTOR;
import static io.jvirtio.devices.blk.BlkDriver.pattern;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_IOERR;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_UNSUPP;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_T_DISCARD;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_T_SECURE_ERASE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_T_WRITE_ZEROES;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.BlkRequests;
import io.jvirtio.testkit.BlkRequests.Segment;
import io.jvirtio.testkit.ChainBuilder;
import io.jvirtio.testkit.Requirement;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Discard, write zeroes and secure erase. */
class BlkRangesTest {
  private static final int CAPACITY = 1 << 20;
  private static final int SECTORS = CAPACITY / SECTOR;

  private final MemoryBackend disk = new MemoryBackend(CAPACITY);
  private BlkDriver driver = BlkDriver.of(disk, BlkOptions.defaults());

  @BeforeEach
  void fill() {
    disk.write(0, pattern(CAPACITY, 1));
  }

  @AfterEach
  void close() {
    driver.close();
  }

  private byte[] expected(int from, int to) {
    byte[] all = pattern(CAPACITY, 1);
    Arrays.fill(all, from * SECTOR, to * SECTOR, (byte) 0);
    return all;
  }

  private void assertUntouched() {
    assertArrayEquals(pattern(CAPACITY, 1), disk.read(0, CAPACITY));
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "After a write zeroes command is completed, reads of the specified ranges of sectors MUST"
              + " return zeroes.")
  void writtenZeroesAreRead() {
    assertEquals(
        VIRTIO_BLK_S_OK, driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(3, 300, 0)));
    assertArrayEquals(expected(3, 303), disk.read(0, CAPACITY));
    fill();
    assertEquals(
        VIRTIO_BLK_S_OK, driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(3, 300, 1)));
    assertArrayEquals(expected(3, 303), disk.read(0, CAPACITY));
  }

  @Test
  void unmapDeallocatesAndNoUnmapDoesNot() {
    long before = disk.allocated();
    driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(0, SECTORS, 0));
    assertEquals(before, disk.allocated());
    driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(0, SECTORS, 1));
    assertEquals(0, disk.allocated());
  }

  @Test
  void discardDeallocates() {
    assertEquals(
        VIRTIO_BLK_S_OK, driver.ranges(VIRTIO_BLK_T_DISCARD, BlkDriver.range(0, SECTORS, 0)));
    assertEquals(0, disk.allocated());
  }

  @Test
  void secureEraseErases() {
    assertEquals(
        VIRTIO_BLK_S_OK, driver.ranges(VIRTIO_BLK_T_SECURE_ERASE, BlkDriver.range(0, SECTORS, 0)));
    assertArrayEquals(new byte[CAPACITY], disk.read(0, CAPACITY));
  }

  @ParameterizedTest
  @ValueSource(ints = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_SECURE_ERASE})
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "The device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard, secure erase and"
              + " write zeroes commands if any unknown flag is set.")
  void unknownFlagsAreUnsupported(int type) {
    for (int bit = 1; bit < 32; bit++) {
      assertEquals(VIRTIO_BLK_S_UNSUPP, driver.ranges(type, BlkDriver.range(0, 1, 1 << bit)));
    }
    assertEquals(
        VIRTIO_BLK_S_UNSUPP,
        driver.ranges(type, BlkDriver.range(0, 1, 0), BlkDriver.range(1, 1, 0x80000000)));
    assertUntouched();
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "Furthermore, the device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard"
              + " commands if the unmap flag is set.")
  void discardWithUnmapIsUnsupported() {
    assertEquals(
        VIRTIO_BLK_S_UNSUPP, driver.ranges(VIRTIO_BLK_T_DISCARD, BlkDriver.range(0, 1, 1)));
    assertEquals(
        VIRTIO_BLK_S_UNSUPP, driver.ranges(VIRTIO_BLK_T_SECURE_ERASE, BlkDriver.range(0, 1, 1)));
    assertUntouched();
  }

  @Test
  void unknownFlagsAreUnsupportedOnAReadOnlyDiskToo() {
    driver.close();
    driver = BlkDriver.of(disk, BlkOptions.builder().readOnly(true).build());
    assertEquals(
        VIRTIO_BLK_S_UNSUPP, driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(0, 1, 2)));
    assertEquals(
        VIRTIO_BLK_S_IOERR, driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(0, 1, 0)));
    assertUntouched();
  }

  @Test
  void severalRangesInOneRequest() {
    Segment[] ranges = new Segment[BlkConfig.MAX_RANGES];
    byte[] expected = pattern(CAPACITY, 1);
    for (int i = 0; i < ranges.length; i++) {
      ranges[i] = BlkDriver.range(i * 10, i == 4 ? 0 : 5, i % 2);
      Arrays.fill(expected, i * 10 * SECTOR, (i * 10 + (i == 4 ? 0 : 5)) * SECTOR, (byte) 0);
    }
    assertEquals(VIRTIO_BLK_S_OK, driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, ranges));
    assertArrayEquals(expected, disk.read(0, CAPACITY));
  }

  @ParameterizedTest
  @ValueSource(ints = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_SECURE_ERASE})
  void tooManyRangesAreAnError(int type) {
    Segment[] ranges = new Segment[BlkConfig.MAX_RANGES + 1];
    Arrays.setAll(ranges, i -> BlkDriver.range(i, 1, 0));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.ranges(type, ranges));
    assertUntouched();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 15, 17, 31})
  void rangesMustBeWhole(int bytes) {
    ChainBuilder chain = driver.chain().readable(driver.header(VIRTIO_BLK_T_WRITE_ZEROES, 0));
    if (bytes > 0) {
      chain.readable(new byte[bytes]);
    }
    assertEquals(VIRTIO_BLK_S_IOERR, driver.run(chain.writable(1)));
    assertUntouched();
  }

  @ParameterizedTest
  @ValueSource(ints = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_SECURE_ERASE})
  void rangesOutsideTheDiskAreAnErrorBeforeAnyEffect(int type) {
    Segment good = BlkDriver.range(0, 8, 0);
    Segment[] bad = {
      BlkDriver.range(SECTORS, 1, 0),
      BlkDriver.range(SECTORS - 1, 2, 0),
      BlkDriver.range(-1, 1, 0),
      BlkDriver.range(-1, 2, 0),
      BlkDriver.range(Long.MIN_VALUE, 1, 0),
      BlkDriver.range(0, -1, 0),
      BlkDriver.range(1L << 55, 1, 0),
    };
    for (Segment range : bad) {
      assertEquals(VIRTIO_BLK_S_IOERR, driver.ranges(type, good, range));
    }
    assertUntouched();
  }

  @Test
  void aRangeLongerThanTheLimitIsAnError() {
    driver.close();
    MemoryBackend large = new MemoryBackend((BlkConfig.MAX_RANGE_SECTORS + 8L) * SECTOR);
    driver = BlkDriver.of(large, BlkOptions.defaults());
    int limit = (int) driver.bench.host().config().get("max_write_zeroes_sectors");
    assertEquals(
        VIRTIO_BLK_S_OK, driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(0, limit, 1)));
    assertEquals(
        VIRTIO_BLK_S_IOERR,
        driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(0, limit + 1, 1)));
  }

  @Test
  void rangesInAnyFraming() {
    driver
        .chain()
        .readable(driver.header(VIRTIO_BLK_T_WRITE_ZEROES, 0))
        .readable(
            BlkRequests.segments(
                ByteOrder.LITTLE_ENDIAN, BlkDriver.range(2, 2, 0), BlkDriver.range(10, 1, 0)))
        .splitReadable(3, 17, 30, 33)
        .writable(1)
        .submit();
    assertEquals(VIRTIO_BLK_S_OK, BlkDriver.status(driver.run()));
    byte[] expected = expected(2, 4);
    Arrays.fill(expected, 10 * SECTOR, 11 * SECTOR, (byte) 0);
    assertArrayEquals(expected, disk.read(0, CAPACITY));
  }

  @Test
  void whatWasNotNegotiatedIsUnsupported() {
    driver.restartWithout(
        VirtioBlk.VIRTIO_BLK_F_DISCARD,
        VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES,
        VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE);
    for (int type : new int[] {11, 13, 14}) {
      assertEquals(VIRTIO_BLK_S_UNSUPP, driver.ranges(type, BlkDriver.range(0, 1, 0)));
    }
    assertUntouched();
  }

  @Test
  void withDiscardOffZeroesAreWrittenInPlace() {
    driver.close();
    driver = BlkDriver.of(disk, BlkOptions.builder().discard(false).build());
    assertFalse(driver.bench.host().deviceFeatures().has(VirtioBlk.VIRTIO_BLK_F_DISCARD));
    assertEquals(0, driver.bench.host().config().get("write_zeroes_may_unmap"));
    long before = disk.allocated();
    driver.ranges(VIRTIO_BLK_T_WRITE_ZEROES, BlkDriver.range(0, SECTORS, 1));
    assertEquals(before, disk.allocated());
    assertArrayEquals(new byte[CAPACITY], disk.read(0, CAPACITY));
  }
}
