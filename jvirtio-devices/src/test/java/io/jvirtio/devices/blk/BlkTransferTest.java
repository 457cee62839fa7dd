// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.devices.blk.BlkDriver.SECTOR;
import static io.jvirtio.devices.blk.BlkDriver.pattern;
import static io.jvirtio.devices.blk.BlkDriver.status;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_IOERR;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_UNSUPP;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.ChainBuilder;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.testkit.ScriptedDriver.Used;
import io.jvirtio.testkit.TestMemory;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Reads, writes and get id, in every framing. */
class BlkTransferTest {
  private static final long CAPACITY = 4 << 20;

  private final MemoryBackend disk = new MemoryBackend(CAPACITY);
  private BlkDriver driver = BlkDriver.of(disk, BlkOptions.builder().serial("serial-1").build());

  @AfterEach
  void close() {
    driver.close();
  }

  private void restart(BlkOptions options) {
    driver.close();
    driver = BlkDriver.of(disk, options);
  }

  @Test
  void whatWasWrittenIsReadBack() {
    byte[] data = pattern(70_000 / SECTOR * SECTOR, 3);
    assertEquals(VIRTIO_BLK_S_OK, driver.write(5, data));
    assertArrayEquals(data, disk.read(5 * SECTOR, data.length));
    Used used = driver.read(5, data.length);
    assertEquals(data.length + 1, used.length());
    assertEquals(VIRTIO_BLK_S_OK, status(used));
    assertArrayEquals(data, BlkDriver.data(used));
  }

  @Test
  void usedLengthOfAWriteIsTheStatusByte() {
    driver.chain().readable(driver.header(1, 0)).readable(pattern(512, 1)).writable(1).submit();
    assertEquals(1, driver.run().length());
  }

  @Test
  void usedLengthIsAnUnderestimateWhenBytesBeforeTheStatusWereNotWritten() {
    driver.chain().readable(driver.header(1, 0)).readable(pattern(512, 1)).writable(9).submit();
    Used used = driver.run();
    assertEquals(0, used.length());
    assertEquals(VIRTIO_BLK_S_OK, status(used));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 8, 15, 16, 17, 100, 527})
  void headerAndDataMayBeSplitAnywhere(int at) {
    byte[] data = pattern(SECTOR, at);
    driver
        .chain()
        .readable(driver.header(1, 9))
        .readable(data)
        .splitReadable(at)
        .writable(1)
        .submit();
    assertEquals(VIRTIO_BLK_S_OK, status(driver.run()));
    assertArrayEquals(data, disk.read(9 * SECTOR, SECTOR));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 100, 511, 512})
  void dataAndStatusMayBeSplitAnywhere(int at) {
    byte[] data = pattern(SECTOR, at);
    disk.write(9 * SECTOR, data);
    driver.chain().readable(driver.header(0, 9)).writable(SECTOR + 1).splitWritable(at).submit();
    Used used = driver.run();
    assertEquals(VIRTIO_BLK_S_OK, status(used));
    assertArrayEquals(data, BlkDriver.data(used));
  }

  @Test
  void oneReadableAndOneWritableDescriptorAreEnough() {
    byte[] data = pattern(2 * SECTOR, 8);
    driver
        .chain()
        .readable(driver.header(1, 1))
        .readable(data)
        .splitReadable()
        .writable(1)
        .submit();
    assertEquals(VIRTIO_BLK_S_OK, status(driver.run()));
    driver.chain().readable(driver.header(0, 1)).writable(2 * SECTOR + 1).submit();
    assertArrayEquals(data, BlkDriver.data(driver.run()));
  }

  @Test
  void indirectChainOfManyDescriptors() {
    byte[] data = pattern(60 * SECTOR, 8);
    disk.write(0, data);
    int[] cuts = new int[100];
    Arrays.setAll(cuts, i -> 1 + i * 300);
    driver
        .chain()
        .indirect()
        .readable(driver.header(0, 0))
        .writable(data.length + 1)
        .splitWritable(cuts)
        .submit();
    assertArrayEquals(data, BlkDriver.data(driver.run()));
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation / Legacy Interface: Device Operation",
      text =
          "When using the legacy interface, transitional devices and drivers MUST format the fields"
              + " in struct virtio_blk_req according to the native endian of the guest rather than"
              + " (necessarily when not using the legacy interface) little-endian.")
  void bigEndianLegacySession() {
    driver.close();
    BlkDevice device = new BlkDevice(disk, BlkOptions.defaults());
    driver = new BlkDriver(DeviceBench.of(device).legacy(ByteOrder.BIG_ENDIAN).start());
    byte[] data = pattern(SECTOR, 8);
    assertEquals(VIRTIO_BLK_S_OK, driver.write(77, data));
    assertArrayEquals(data, disk.read(77 * SECTOR, SECTOR));
    assertEquals(VIRTIO_BLK_S_OK, driver.ranges(13, BlkDriver.range(77, 1, 0)));
    assertArrayEquals(new byte[SECTOR], disk.read(77 * SECTOR, SECTOR));
  }

  @Test
  void requestsEndInBatches() {
    for (int i = 0; i < 10; i++) {
      driver.chain().readable(driver.header(0, i)).writable(SECTOR).writable(1).submit();
    }
    int before = driver.bench.notifications(0);
    driver.bench.run();
    assertEquals(10, driver.queue().pollAll().size());
    assertEquals(before + 1, driver.bench.notifications(0));
  }

  @Test
  void lastSectorsCanBeRead() {
    long sectors = CAPACITY / SECTOR;
    assertEquals(VIRTIO_BLK_S_OK, status(driver.read(sectors - 1, SECTOR)));
    assertEquals(VIRTIO_BLK_S_OK, status(driver.read(0, (int) CAPACITY)));
    assertEquals(VIRTIO_BLK_S_OK, status(driver.read(sectors, 0)));
  }

  @Test
  void outOfRangeIsAnError() {
    long sectors = CAPACITY / SECTOR;
    byte[] before = disk.read(0, (int) CAPACITY);
    long[] starts = {sectors, sectors + 1, 1L << 55, Long.MAX_VALUE, Long.MIN_VALUE, -1};
    for (long start : starts) {
      Used used = driver.read(start, SECTOR);
      assertEquals(VIRTIO_BLK_S_IOERR, status(used), "read at " + start);
      assertEquals(0, used.length());
      assertEquals(VIRTIO_BLK_S_IOERR, driver.write(start, pattern(SECTOR, 1)), "write " + start);
    }
    assertEquals(VIRTIO_BLK_S_IOERR, status(driver.read(sectors - 1, 2 * SECTOR)));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.write(sectors - 1, pattern(2 * SECTOR, 1)));
    assertArrayEquals(before, disk.read(0, (int) CAPACITY));
    assertEquals(14, driver.device().stats().ioErrors());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 511, 513, 1000})
  void lengthMustBeWholeSectors(int bytes) {
    assertEquals(VIRTIO_BLK_S_IOERR, status(driver.read(0, bytes)));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.write(0, pattern(bytes, 1)));
    assertEquals(0, disk.allocated());
  }

  @Test
  void transferOfNothingSucceeds() {
    Used used = driver.read(0, 0);
    assertEquals(VIRTIO_BLK_S_OK, status(used));
    assertEquals(1, used.length());
    assertEquals(VIRTIO_BLK_S_OK, driver.write(0, new byte[0]));
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "A device MUST set the status byte to VIRTIO_BLK_S_IOERR for a write request if the"
              + " VIRTIO_BLK_F_RO feature if offered, and MUST NOT write any data.")
  void readOnlyDiskRefusesWrites() {
    disk.write(0, pattern(SECTOR, 5));
    restart(BlkOptions.builder().readOnly(true).build());
    assertTrue(driver.bench.host().deviceFeatures().has(VirtioBlk.VIRTIO_BLK_F_RO));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.write(0, pattern(SECTOR, 1)));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.write(0, new byte[0]));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.ranges(11, BlkDriver.range(0, 1, 0)));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.ranges(13, BlkDriver.range(0, 1, 1)));
    assertEquals(VIRTIO_BLK_S_IOERR, driver.ranges(14, BlkDriver.range(0, 1, 0)));
    assertEquals(VIRTIO_BLK_S_OK, driver.flush());
    assertArrayEquals(pattern(SECTOR, 5), disk.read(0, SECTOR));
    assertArrayEquals(pattern(SECTOR, 5), BlkDriver.data(driver.read(0, SECTOR)));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 8, 19, 20, 21, 100})
  void deviceIdIsPaddedAndCut(int room) {
    driver.chain().readable(driver.header(8, 0)).writable(room).writable(1).submit();
    Used used = driver.run();
    byte[] expected = Arrays.copyOf("serial-1".getBytes(), 20);
    assertEquals(VIRTIO_BLK_S_OK, status(used));
    assertEquals(room <= 20 ? room + 1 : 20, used.length());
    int written = Math.min(room, 20);
    assertArrayEquals(Arrays.copyOf(expected, written), used.chain().writtenBytes(written));
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "If the VIRTIO_BLK_F_ZONED feature is not negotiated, the device MUST reject"
              + " VIRTIO_BLK_T_ZONE_REPORT, VIRTIO_BLK_T_ZONE_OPEN, VIRTIO_BLK_T_ZONE_CLOSE,"
              + " VIRTIO_BLK_T_ZONE_FINISH, VIRTIO_BLK_T_ZONE_APPEND, VIRTIO_BLK_T_ZONE_RESET and"
              + " VIRTIO_BLK_T_ZONE_RESET_ALL requests with VIRTIO_BLK_S_UNSUPP status.")
  void zoneRequestsAreUnsupported() {
    int[] types = {15, 16, 18, 20, 22, 24, 26};
    for (int type : types) {
      assertEquals(VIRTIO_BLK_S_UNSUPP, driver.run(plain(type)), "type " + type);
    }
    assertEquals(types.length, driver.device().stats().unsupported());
  }

  private ChainBuilder plain(int type) {
    return driver
        .chain()
        .readable(driver.header(type, 0))
        .readable(pattern(SECTOR, 1))
        .writable(16)
        .writable(1);
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 3, 6, 7, 9, 10, 12, 17, 27, 0x7fffffff, 0x80000000, 0x80000001, -1})
  void unknownRequestsAreUnsupported(int type) {
    assertEquals(VIRTIO_BLK_S_UNSUPP, driver.run(plain(type)));
    assertEquals(0, disk.allocated());
  }

  @Test
  void requestsWithoutWholeHeaderOrStatusBreakTheQueue() {
    driver.chain().readable(new byte[15]).writable(1).submit();
    expectBroken();
    driver.chain().readable(driver.header(4, 0)).submit();
    expectBroken();
    driver.chain().writable(1).submit();
    expectBroken();
  }

  private void expectBroken() {
    driver.bench.run();
    assertEquals(FaultReason.REQUEST_MALFORMED, driver.fault());
    assertEquals(0, driver.queue().pending());
    assertTrue((driver.bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
    // And it works again after a reset.
    driver.bench.restart();
    assertEquals(VIRTIO_BLK_S_OK, driver.write(0, pattern(SECTOR, 1)));
  }

  @Test
  void aFaultInTheMiddleOfABatchLeavesNothingBehind() {
    driver.chain().readable(driver.header(1, 0)).readable(pattern(SECTOR, 1)).writable(1).add();
    driver.chain().readable(new byte[1]).writable(1).submit();
    expectBroken();
  }

  @Test
  void aSmallQueueIsServed() {
    restart(BlkOptions.builder().queueSize(2).build());
    byte[] data = pattern(SECTOR, 4);
    driver
        .chain()
        .readable(driver.header(1, 0))
        .readable(data)
        .splitReadable()
        .writable(1)
        .submit();
    assertEquals(VIRTIO_BLK_S_OK, status(driver.run()));
    assertArrayEquals(data, disk.read(0, SECTOR));
  }

  @Test
  void dataMayCrossTheEdgeOfARegion() {
    driver.close();
    TestMemory memory = TestMemory.builder().region(0, 1 << 20).region(1 << 20, 1 << 20).build();
    driver =
        new BlkDriver(
            DeviceBench.of(new BlkDevice(disk, BlkOptions.defaults())).memory(memory).start());
    byte[] data = pattern(4 * SECTOR, 9);
    disk.write(0, data);
    long edge = 1 << 20;
    driver
        .chain()
        .readable(driver.header(0, 0))
        .writableAt(edge - 700, 4 * SECTOR)
        .writable(1)
        .submit();
    assertEquals(VIRTIO_BLK_S_OK, status(driver.run()));
    assertArrayEquals(data, memory.read(edge - 700, 4 * SECTOR));
  }
}
