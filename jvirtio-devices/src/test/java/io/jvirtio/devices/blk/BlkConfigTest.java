// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.devices.blk.BlkDriver.SECTOR;
import static io.jvirtio.devices.blk.BlkDriver.pattern;
import static io.jvirtio.devices.blk.BlkDriver.status;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_FLUSH;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_IOERR;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.BlkRequests;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.Requirement;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Features, configuration space, options, resize. */
class BlkConfigTest {
  private static final long CAPACITY = 1 << 20;
  private static final String INITIALIZATION = "Block Device / Device Initialization";

  private final MemoryBackend disk = new MemoryBackend(CAPACITY);

  private static long field(BlkDevice device, String name) {
    return device.config().get(name);
  }

  @Test
  void fieldsFollowFromTheBackEnd() {
    BlkDevice device = new BlkDevice(disk, BlkOptions.builder().blockSize(4096).queues(3).build());
    assertEquals(2, device.deviceId());
    assertEquals(3, device.queueCount());
    assertEquals(256, device.queueMaxSize(0));
    assertEquals(CAPACITY / SECTOR, field(device, "capacity"));
    assertEquals(126, field(device, "seg_max"));
    assertEquals(1 << 20, field(device, "size_max"));
    assertEquals(2, field(device, "geometry.cylinders"));
    assertEquals(16, field(device, "geometry.heads"));
    assertEquals(63, field(device, "geometry.sectors"));
    assertEquals(4096, field(device, "blk_size"));
    assertEquals(0, field(device, "topology.physical_block_exp"));
    assertEquals(1, field(device, "topology.min_io_size"));
    assertEquals(3, field(device, "num_queues"));
    assertEquals(32, field(device, "max_discard_seg"));
    assertEquals(1 << 22, field(device, "max_discard_sectors"));
    assertEquals(8, field(device, "discard_sector_alignment"));
    assertEquals(1, field(device, "write_zeroes_may_unmap"));
    assertEquals(8, field(device, "secure_erase_sector_alignment"));
    assertEquals(CAPACITY, device.capacity());
    assertFalse(device.readOnly());
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "Devices SHOULD always offer VIRTIO_BLK_F_FLUSH, and MUST offer it if they offer"
              + " VIRTIO_BLK_F_CONFIG_WCE.")
  void flushAndCacheModeAreOffered() {
    for (boolean readOnly : new boolean[] {true, false}) {
      BlkDevice device = new BlkDevice(disk, BlkOptions.builder().readOnly(readOnly).build());
      assertTrue(device.features().has(VIRTIO_BLK_F_FLUSH));
      assertTrue(device.features().has(VIRTIO_BLK_F_CONFIG_WCE));
    }
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "The flag MUST NOT be offered if the device is backed by storage for which the lifetime"
              + " metrics described in this document cannot be obtained or for which such metrics"
              + " have no useful meaning.")
  @Requirement(
      section = INITIALIZATION,
      text = "Legacy devices MUST NOT offer VIRTIO_BLK_F_ZONED feature bit.")
  void neitherLifetimeNorZonesAreOffered() {
    FeatureBits features = new BlkDevice(disk, BlkOptions.defaults()).features();
    assertFalse(features.has(VirtioBlk.VIRTIO_BLK_F_LIFETIME));
    assertFalse(features.has(VirtioBlk.VIRTIO_BLK_F_ZONED));
    try (BlkDriver driver = BlkDriver.of(disk, BlkOptions.defaults())) {
      int status =
          driver.run(driver.chain().readable(driver.header(10, 0)).writable(6).writable(1));
      assertEquals(VirtioBlk.VIRTIO_BLK_S_UNSUPP, status);
    }
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text = "The device MUST initialize padding bytes unused0 and unused1 to 0.")
  void paddingIsZero() {
    BlkDevice device = new BlkDevice(disk, BlkOptions.builder().queues(9).build());
    byte[] unused0 = {1};
    device.config().read(VirtioBlk.CONFIG.offset("unused0"), unused0);
    assertEquals(0, unused0[0]);
    byte[] unused1 = {1, 1, 1};
    device.config().read(VirtioBlk.CONFIG.offset("unused1"), unused1);
    for (byte b : unused1) {
      assertEquals(0, b);
    }
  }

  @Test
  void multiQueueIsOfferedOnlyWithSeveral() {
    assertFalse(
        new BlkDevice(disk, BlkOptions.defaults()).features().has(VirtioBlk.VIRTIO_BLK_F_MQ));
    assertTrue(
        new BlkDevice(disk, BlkOptions.builder().queues(2).build())
            .features()
            .has(VirtioBlk.VIRTIO_BLK_F_MQ));
  }

  @Test
  void severalQueuesWork() {
    try (BlkDriver driver = BlkDriver.of(disk, BlkOptions.builder().queues(4).build())) {
      for (int i = 0; i < 4; i++) {
        BlkRequests.out(driver.bench.driver(i), i, pattern(SECTOR, i)).submit();
      }
      driver.bench.run();
      for (int i = 0; i < 4; i++) {
        assertEquals(VIRTIO_BLK_S_OK, status(driver.bench.driver(i).poll()));
      }
      assertEquals(4 * SECTOR, driver.device().stats().bytesWritten());
      assertEquals(4, driver.device().stats().requests(BlkRequestType.OUT));
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 0", "2, 0", "4, 2", "64, 62", "128, 126", "256, 126", "32768, 126"})
  void segMaxFitsTheQueue(int queueSize, int segMax) {
    BlkDevice device = new BlkDevice(disk, BlkOptions.builder().queueSize(queueSize).build());
    assertEquals(segMax, field(device, "seg_max"));
    assertEquals(segMax > 0, device.features().has(VirtioBlk.VIRTIO_BLK_F_SEG_MAX));
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "If VIRTIO_BLK_F_CONFIG_WCE is negotiated but VIRTIO_BLK_F_FLUSH is not, the device MUST"
              + " initialize writeback to 0.")
  void withoutFlushTheCacheIsWritethrough() {
    RecordingBackend backend = new RecordingBackend(disk);
    BlkDevice device = new BlkDevice(backend, BlkOptions.defaults());
    try (BlkDriver driver = BlkDriver.without(device, VIRTIO_BLK_F_FLUSH)) {
      assertEquals(0, field(device, "writeback"));
      driver.write(0, pattern(SECTOR, 1));
      assertEquals("write stable", backend.log());
      driver.bench.host().writeStatus(0);
      assertEquals(1, field(device, "writeback"), "reset restores the initial mode");
    }
  }

  @Test
  @Requirement(
      section = "Block Device / Device Operation",
      text =
          "If the device is backed by persistent storage, the device MUST ensure that stable writes"
              + " are committed to it, before reporting completion of the write (cases 1 and 2) or"
              + " the flush (case 3).")
  void writesAreStableAsNegotiated() {
    RecordingBackend backend = new RecordingBackend(disk);
    BlkDevice device = new BlkDevice(backend, BlkOptions.defaults());
    try (BlkDriver driver =
        BlkDriver.without(device, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_CONFIG_WCE)) {
      driver.write(0, pattern(SECTOR, 1));
      assertEquals("write stable", backend.log());
      driver.ranges(13, BlkDriver.range(0, 1, 0));
      assertEquals("zero stable", backend.log());

      driver.restartWithout(VIRTIO_BLK_F_CONFIG_WCE);
      driver.write(0, pattern(SECTOR, 1));
      driver.flush();
      assertEquals("write, flush", backend.log());
      driver.run(driver.chain().readable(driver.header(5, 0)).writable(1));
      assertEquals("flush", backend.log());
    }
  }

  @Test
  void driverSwitchesTheCacheMode() throws PeerFault {
    RecordingBackend backend = new RecordingBackend(disk);
    BlkDevice device = new BlkDevice(backend, BlkOptions.defaults());
    int offset = VirtioBlk.CONFIG.offset("writeback");
    try (BlkDriver driver = BlkDriver.without(device)) {
      assertEquals(1, field(device, "writeback"));
      driver.write(0, pattern(SECTOR, 1));
      device.config().write(offset, new byte[] {0});
      driver.write(0, pattern(SECTOR, 1));
      device.config().write(offset, new byte[] {1});
      driver.write(0, pattern(SECTOR, 1));
      device.config().write(offset, new byte[] {(byte) 0xff});
      assertEquals("write, write stable, write", backend.log());
      assertEquals(1, field(device, "writeback"), "any other value is write-back");
    }
  }

  @Test
  void cacheModeCannotBeSwitchedWithoutTheFeature() throws PeerFault {
    BlkDevice device = new BlkDevice(disk, BlkOptions.defaults());
    try (BlkDriver driver = BlkDriver.without(device, VIRTIO_BLK_F_CONFIG_WCE)) {
      driver.bench.host().config().write(VirtioBlk.CONFIG.offset("writeback"), new byte[] {0});
      assertEquals(1, field(device, "writeback"));
    }
  }

  @Test
  void writethroughOptionIsTheInitialMode() {
    RecordingBackend backend = new RecordingBackend(disk);
    BlkOptions options = BlkOptions.builder().cache(CacheMode.WRITETHROUGH).build();
    BlkDevice device = new BlkDevice(backend, options);
    try (BlkDriver driver = BlkDriver.without(device)) {
      assertEquals(0, field(device, "writeback"));
      driver.write(0, pattern(SECTOR, 1));
      assertEquals("write stable", backend.log());
      driver.restartWithout(VIRTIO_BLK_F_CONFIG_WCE);
      driver.write(0, pattern(SECTOR, 1));
      assertEquals("write stable", backend.log());
    }
  }

  @Test
  @Requirement(
      section = INITIALIZATION + " / Legacy Interface: Device Initialization",
      text =
          "the device MUST NOT modify the cache mode (and writeback) as a result of a driver"
              + " setting a status bit, unless the DRIVER_OK bit is being set and the driver has"
              + " not set the VIRTIO_BLK_F_CONFIG_WCE driver feature bit.")
  @Requirement(
      section = INITIALIZATION + " / Legacy Interface: Device Initialization",
      text =
          "the device MUST NOT modify the cache mode (and writeback) as a result of a driver"
              + " modifying the driver feature bits, for example if the driver sets the"
              + " VIRTIO_BLK_F_CONFIG_WCE driver feature bit but does not set the"
              + " VIRTIO_BLK_F_FLUSH bit.")
  void legacyDriverKeepsTheModeItChose() throws PeerFault {
    for (byte mode = 0; mode <= 1; mode++) {
      BlkDevice device = new BlkDevice(disk, BlkOptions.defaults());
      FeatureBits accepted =
          device.features().without(VIRTIO_BLK_F_FLUSH).with(VIRTIO_BLK_F_CONFIG_WCE);
      try (DeviceBench bench = DeviceBench.of(device).features(accepted).build()) {
        device.config().write(VirtioBlk.CONFIG.offset("writeback"), new byte[] {mode});
        bench.start();
        assertTrue(bench.host().isLive());
        assertEquals(mode, field(device, "writeback"));
      }
    }
  }

  @Test
  void onlyWritebackCanBeWritten() {
    BlkDevice device = new BlkDevice(disk, BlkOptions.defaults());
    for (VirtioBlkField f : VirtioBlkField.all()) {
      if (!f.name().equals("writeback")) {
        PeerFault fault =
            assertThrows(
                PeerFault.class, () -> device.config().write(f.offset(), new byte[f.size()]));
        assertEquals(FaultReason.CONFIG_ACCESS_INVALID, fault.reason());
      }
    }
  }

  private record VirtioBlkField(String name, int offset, int size) {
    static java.util.List<VirtioBlkField> all() {
      return VirtioBlk.CONFIG.fields().stream()
          .map(f -> new VirtioBlkField(f.name(), f.offset(), f.size()))
          .toList();
    }
  }

  @Test
  void resizeChangesTheConfiguration() throws IOException {
    try (BlkDriver driver = BlkDriver.of(disk, BlkOptions.defaults())) {
      int generation = driver.bench.host().config().generation();
      disk.resize(2 * CAPACITY);
      assertEquals(2 * CAPACITY, driver.device().refreshSize());
      assertEquals(1, driver.bench.configurationChanges());
      assertEquals(2 * CAPACITY / SECTOR, driver.bench.host().config().get("capacity"));
      assertTrue(driver.bench.host().config().generation() != generation);
      assertEquals(VIRTIO_BLK_S_OK, driver.write(CAPACITY / SECTOR, pattern(SECTOR, 1)));

      driver.device().resize(CAPACITY / 2 + 511);
      assertEquals(CAPACITY / 2, driver.device().capacity());
      assertEquals(2, driver.bench.configurationChanges());
      long end = CAPACITY / 2 / SECTOR;
      assertEquals(VIRTIO_BLK_S_IOERR, driver.write(end, pattern(SECTOR, 1)));
      assertEquals(VIRTIO_BLK_S_IOERR, status(driver.read(end - 1, 2 * SECTOR)));
      assertEquals(VIRTIO_BLK_S_OK, driver.write(end - 1, pattern(SECTOR, 1)));

      driver.device().resize(CAPACITY / 2);
      assertEquals(2, driver.bench.configurationChanges(), "nothing has changed");
    }
  }

  @Test
  void storageThatShrankBehindTheDevicesBackIsAnError() {
    try (BlkDriver driver = BlkDriver.of(disk, BlkOptions.defaults())) {
      disk.resize(CAPACITY / 2);
      assertEquals(VIRTIO_BLK_S_IOERR, status(driver.read(CAPACITY / SECTOR - 1, SECTOR)));
      assertEquals(1, driver.device().stats().ioErrors());
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 511, 513, -512})
  void memoryCapacityIsWholeSectors(long bytes) {
    assertThrows(IllegalArgumentException.class, () -> new MemoryBackend(bytes));
    assertThrows(IllegalArgumentException.class, () -> disk.resize(bytes));
  }

  @Test
  void optionsAreChecked() {
    assertInvalid("number of queues", BlkOptions.builder().queues(0));
    assertInvalid("number of queues", BlkOptions.builder().queues(1025));
    assertInvalid("queue size", BlkOptions.builder().queueSize(100));
    assertInvalid("queue size", BlkOptions.builder().queueSize(65536));
    assertInvalid("serial", BlkOptions.builder().serial("x".repeat(21)));
    assertInvalid("serial", BlkOptions.builder().serial("ä"));
    assertInvalid("block size", BlkOptions.builder().blockSize(256));
    assertInvalid("block size", BlkOptions.builder().blockSize(1000));
    assertInvalid("block size", BlkOptions.builder().blockSize(131072));
    assertInvalid("cache", BlkOptions.builder().cache(null));
  }

  private static void assertInvalid(String part, BlkOptions.Builder builder) {
    String message = assertThrows(IllegalArgumentException.class, builder::build).getMessage();
    assertTrue(message.contains(part), message);
  }

  @Test
  void blockSizeMustFitTheStorage() {
    BlkOptions large = BlkOptions.builder().blockSize(4096).build();
    MemoryBackend odd = new MemoryBackend(4096 + 512);
    assertThrows(IllegalArgumentException.class, () -> new BlkDevice(odd, large));
    RecordingBackend coarse = new RecordingBackend(disk);
    coarse.logicalBlockSize = 4096;
    BlkOptions small = BlkOptions.builder().blockSize(512).build();
    assertThrows(IllegalArgumentException.class, () -> new BlkDevice(coarse, small));
    assertEquals(4096, field(new BlkDevice(coarse, BlkOptions.defaults()), "blk_size"));
  }

  @Test
  void aPlainBackEndOffersOnlyWhatItCan() {
    RecordingBackend backend = new RecordingBackend(disk);
    backend.capabilities = BlockCapabilities.NONE;
    backend.readOnly = true;
    FeatureBits features = new BlkDevice(backend, BlkOptions.defaults()).features();
    assertTrue(features.has(VirtioBlk.VIRTIO_BLK_F_RO));
    assertFalse(features.has(VirtioBlk.VIRTIO_BLK_F_DISCARD));
    assertFalse(features.has(VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES));
    assertFalse(features.has(VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE));
  }
}
