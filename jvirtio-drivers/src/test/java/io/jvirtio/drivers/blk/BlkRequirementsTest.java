// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.drivers.blk.InlineDisk.heap;
import static io.jvirtio.drivers.blk.InlineDisk.pattern;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.drivers.blk.ScriptedDisk.Request;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.testkit.ScriptedDevice.Element;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What the specification demands of a driver of block devices. */
class BlkRequirementsTest {
  private static final String INITIALIZATION = "Block Device / Device Initialization";
  private static final String OPERATION = "Block Device / Device Operation";

  private static ScriptedDisk everything() throws IOException {
    return new ScriptedDisk(
            VirtioBlk.VIRTIO_BLK_F_FLUSH,
            VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE,
            VirtioBlk.VIRTIO_BLK_F_DISCARD,
            VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES,
            VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE,
            VirtioBlk.VIRTIO_BLK_F_LIFETIME)
        .set("max_discard_sectors", 1024)
        .set("max_discard_seg", 2)
        .set("discard_sector_alignment", 1000)
        .set("max_write_zeroes_sectors", 256)
        .set("max_write_zeroes_seg", 3)
        .set("max_secure_erase_sectors", 64)
        .set("max_secure_erase_seg", 1)
        .start();
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "Drivers SHOULD NOT negotiate VIRTIO_BLK_F_FLUSH if they are incapable of sending"
              + " VIRTIO_BLK_T_FLUSH commands.")
  @Requirement(
      section = OPERATION,
      text = "A driver MUST set sector to 0 for a VIRTIO_BLK_T_FLUSH request.")
  @Requirement(
      section = OPERATION,
      text = "A driver SHOULD NOT include any data in a VIRTIO_BLK_T_FLUSH request.")
  void aFlush() throws IOException {
    try (ScriptedDisk disk = everything()) {
      // One that had an offset before.
      BlkIo io = disk.driver.newIo().read(4096).flush();
      disk.driver.submit(io);
      Request request = disk.takeOne();
      assertEquals(VirtioBlk.VIRTIO_BLK_T_FLUSH, request.type());
      assertEquals(0, request.reserved());
      assertEquals(0, request.sector());
      assertEquals(0, request.data().remaining());
      assertEquals(0, request.space());
    }
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "If VIRTIO_BLK_F_CONFIG_WCE was not negotiated but VIRTIO_BLK_F_FLUSH was, the driver"
              + " SHOULD assume presence of a writeback cache.")
  void theCacheModeThatIsNotToldIsDeduced() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_FLUSH).start()) {
      assertTrue(disk.driver.writeback());
      assertThrows(UnsupportedOperationException.class, () -> disk.driver.setWriteback(false));
    }
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      assertFalse(disk.driver.writeback());
      // Nothing to flush, then.
      disk.driver.flush();
      assertTrue(disk.take().isEmpty());
    }
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text = "The driver MUST NOT read writeback before setting the FEATURES_OK device status bit.")
  void writebackIsNotReadTooEarly() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE)) {
      disk.set("writeback", 1).start();
      String read = "readConfig " + VirtioBlk.CONFIG.offset("writeback") + " 1";
      List<String> calls = disk.transport.calls();
      int featuresOk = -1;
      for (int i = 0; i < calls.size(); i++) {
        if (calls.get(i).contains("FEATURES_OK") && featuresOk < 0) {
          featuresOk = i;
        }
      }
      assertTrue(featuresOk > 0, calls.toString());
      assertFalse(calls.subList(0, featuresOk).contains(read), calls.toString());
      assertTrue(disk.driver.writeback());
      assertTrue(disk.transport.calls().contains(read));
    }
  }

  @Test
  @Requirement(
      section = INITIALIZATION,
      text =
          "Drivers MUST NOT negotiate the VIRTIO_BLK_F_ZONED feature if they are incapable of"
              + " supporting devices with the VIRTIO_BLK_Z_HM, VIRTIO_BLK_Z_HA or VIRTIO_BLK_Z_NONE"
              + " zoned model.")
  void zonesAreNotNegotiated() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_ZONED).start()) {
      assertFalse(disk.transport.acceptedFeatures().has(VirtioBlk.VIRTIO_BLK_F_ZONED));
    }
  }

  @Test
  @Requirement(
      section = OPERATION,
      text =
          "The driver SHOULD check if the content of the capacity field has changed upon receiving"
              + " a configuration change notification.")
  @Requirement(
      section = OPERATION,
      text =
          "A driver MUST NOT submit a request which would cause a read or write beyond capacity.")
  void nothingReachesBeyondTheCapacity() throws IOException {
    try (ScriptedDisk disk = everything()) {
      BlkIo late = disk.driver.newIo().read(2047 * 512).add(disk.driver.allocate(512));
      disk.driver.submit(late);
      BlkIo range = disk.driver.newIo().discard().range(2047 * 512, 512);
      disk.driver.submit(range);
      disk.set("capacity", 1000);
      disk.transport.changeConfig(disk.config.array());
      assertEquals(1000 * 512, disk.driver.capacity());
      assertThrows(
          IOException.class,
          () ->
              disk.driver.submit(
                  disk.driver.newIo().write(999 * 512).add(disk.driver.allocate(1024))));
      assertThrows(IOException.class, () -> disk.driver.writeZeroes(1000 * 512, 512, false));
      assertTrue(disk.take().isEmpty());
      // Those that waited while the disk has shrunk.
      assertThrows(IOException.class, late::check);
      assertThrows(IOException.class, range::check);
    }
  }

  @Test
  @Requirement(
      section = OPERATION,
      text = "A driver SHOULD accept the VIRTIO_BLK_F_RO feature if offered.")
  void readOnlyIsAccepted() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_RO).start()) {
      assertTrue(disk.transport.acceptedFeatures().has(VirtioBlk.VIRTIO_BLK_F_RO));
      assertTrue(disk.driver.isReadOnly());
    }
  }

  @Test
  @Requirement(
      section = OPERATION,
      text =
          "The length of data MUST be a multiple of 512 bytes for VIRTIO_BLK_T_IN and"
              + " VIRTIO_BLK_T_OUT requests.")
  void dataIsWholeSectors() throws IOException {
    try (ScriptedDisk disk = everything()) {
      disk.driver.submit(disk.driver.newIo().read(1024).add(heap(new byte[1536])));
      byte[] data = pattern(1024, 1);
      disk.driver.submit(disk.driver.newIo().write(512).add(heap(data)));
      List<Request> all = disk.take();
      assertEquals(VirtioBlk.VIRTIO_BLK_T_IN, all.get(0).type());
      assertEquals(0, all.get(0).reserved());
      assertEquals(2, all.get(0).sector());
      assertEquals(1536, all.get(0).space());
      assertEquals(VirtioBlk.VIRTIO_BLK_T_OUT, all.get(1).type());
      assertEquals(1, all.get(1).sector());
      byte[] sent = new byte[1024];
      all.get(1).data().get(sent);
      assertArrayEquals(data, sent);
      for (BlkOperation operation : List.of(BlkOperation.READ, BlkOperation.WRITE)) {
        BlkIo io = disk.driver.newIo();
        io = operation == BlkOperation.READ ? io.read(0) : io.write(0);
        BlkIo odd = io.add(heap(new byte[100])).add(heap(new byte[500]));
        assertThrows(IllegalArgumentException.class, () -> disk.driver.submit(odd));
      }
      assertTrue(disk.take().isEmpty());
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = BlkOperation.class,
      names = {"DISCARD", "WRITE_ZEROES", "SECURE_ERASE"})
  @Requirement(
      section = OPERATION,
      text =
          "The length of data MUST be a multiple of the size of struct"
              + " virtio_blk_discard_write_zeroes for VIRTIO_BLK_T_DISCARD,"
              + " VIRTIO_BLK_T_SECURE_ERASE and VIRTIO_BLK_T_WRITE_ZEROES requests.")
  @Requirement(
      section = OPERATION,
      text =
          "VIRTIO_BLK_T_DISCARD requests MUST NOT contain more than max_discard_seg struct"
              + " virtio_blk_discard_write_zeroes segments in data.")
  @Requirement(
      section = OPERATION,
      text =
          "VIRTIO_BLK_T_SECURE_ERASE requests MUST NOT contain more than max_secure_erase_seg"
              + " struct virtio_blk_discard_write_zeroes segments in data.")
  @Requirement(
      section = OPERATION,
      text =
          "VIRTIO_BLK_T_WRITE_ZEROES requests MUST NOT contain more than max_write_zeroes_seg"
              + " struct virtio_blk_discard_write_zeroes segments in data.")
  @Requirement(section = OPERATION, text = "The unmap bit MUST be zero for discard commands.")
  void ranges(BlkOperation operation) throws IOException {
    try (ScriptedDisk disk = everything()) {
      int most = disk.driver.limits().maxRanges(operation);
      BlkIo io = disk.driver.newIo();
      // It had the unmap bit before.
      begin(io.writeZeroes(true), operation);
      for (int i = 0; i < most; i++) {
        io.range(4096L * i, 1024);
      }
      disk.driver.submit(io);
      Request request = disk.takeOne();
      assertEquals(operation.type(), request.type());
      assertEquals(0, request.sector());
      assertEquals(0, request.space());
      ByteBuffer data = request.data();
      assertEquals(16 * most, data.remaining());
      for (int i = 0; i < most; i++) {
        assertEquals(8L * i, data.getLong());
        assertEquals(2, data.getInt());
        assertEquals(operation == BlkOperation.WRITE_ZEROES ? 1 : 0, data.getInt());
      }
      BlkIo more = begin(disk.driver.newIo(), operation);
      for (int i = 0; i <= most; i++) {
        more.range(0, 512);
      }
      assertThrows(IllegalArgumentException.class, () -> disk.driver.submit(more));
      BlkIo longer = begin(disk.driver.newIo(), operation);
      longer.range(0, disk.driver.limits().maxRangeBytes(operation) + 512);
      assertThrows(IllegalArgumentException.class, () -> disk.driver.submit(longer));
    }
  }

  private static BlkIo begin(BlkIo io, BlkOperation operation) {
    return switch (operation) {
      case DISCARD -> io.discard();
      case SECURE_ERASE -> io.secureErase();
      default -> io.writeZeroes(true);
    };
  }

  @Test
  void longRangesAreSplitWhereTheDeviceLikesIt() throws IOException {
    try (ScriptedDisk disk = everything()) {
      List<Request> seen = disk.answerAll();
      disk.driver.discard(512, 2000 * 512);
      // At most 1024 sectors, to multiples of 1000.
      assertEquals(List.of("1+999", "1000+1001"), ranges(seen));
      seen.clear();
      disk.driver.writeZeroes(0, 600 * 512, false);
      assertEquals(List.of("0+256", "256+256", "512+88"), ranges(seen));
      assertEquals(0, seen.getFirst().data().getInt(12));
    }
  }

  private static List<String> ranges(List<Request> requests) {
    return requests.stream().map(r -> r.data().getLong(0) + "+" + r.data().getInt(8)).toList();
  }

  @Test
  @Requirement(
      section = OPERATION,
      text = "The length of data MUST be 20 bytes for VIRTIO_BLK_T_GET_ID requests.")
  void theIdIs20Bytes() throws IOException {
    try (ScriptedDisk disk = everything()) {
      List<Request> seen = disk.answerAll();
      assertEquals("", disk.driver.serial());
      assertEquals(VirtioBlk.VIRTIO_BLK_T_GET_ID, seen.getFirst().type());
      assertEquals(20, seen.getFirst().space());
      assertEquals(0, seen.getFirst().sector());
    }
  }

  @Test
  void theLifetimeIs6Bytes() throws IOException {
    try (ScriptedDisk disk = everything()) {
      disk.transport.onNotify(
          queue -> {
            Request request = disk.taken(0).getFirst();
            assertEquals(VirtioBlk.VIRTIO_BLK_T_GET_LIFETIME, request.type());
            request.buffer().write(new byte[] {1, 0, 2, 1, 11, 0, 0});
            disk.transport.device(0).use(request.buffer(), 7);
          });
      assertEquals(new BlkLifetime(1, 0x102, 11), disk.driver.lifetime());
    }
  }

  @Test
  @Requirement(
      section = OPERATION,
      text =
          "After writing a 0 to writeback, the driver MUST NOT assume that any volatile writes have"
              + " been committed to persistent device backend storage.")
  void writingThroughFlushesWhatWasWrittenBefore() throws IOException {
    try (ScriptedDisk disk = everything()) {
      List<Request> seen = disk.answerAll();
      disk.driver.setWriteback(false);
      assertEquals(0, disk.transport.config()[VirtioBlk.CONFIG.offset("writeback")]);
      assertEquals(VirtioBlk.VIRTIO_BLK_T_FLUSH, seen.getFirst().type());
      disk.driver.setWriteback(true);
      assertEquals(1, disk.transport.config()[VirtioBlk.CONFIG.offset("writeback")]);
      assertEquals(1, seen.size());
    }
  }

  @ParameterizedTest
  @EnumSource(Order.class)
  @Requirement(
      section = "Block Device / Device Operation / Legacy Interface: Device Operation",
      text =
          "When using the legacy interface, transitional drivers SHOULD ignore the used length"
              + " values.")
  @Requirement(
      section = "Block Device / Legacy Interface: Framing Requirements",
      text =
          "When using legacy interfaces, transitional drivers which have not negotiated"
              + " VIRTIO_F_ANY_LAYOUT: MUST use a single 8-byte descriptor containing type, reserved"
              + " and sector, followed by descriptors for data, then finally a separate 1-byte"
              + " descriptor for status.")
  void theLegacyInterface(Order order) throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_DISCARD)) {
      disk.order = order.order;
      disk.transport.legacy(order.order);
      disk.set("capacity", 2048).set("seg_max", 4);
      disk.set("max_discard_sectors", 1024).set("max_discard_seg", 2).start();
      assertFalse(disk.transport.acceptedFeatures().has(ReservedFeatures.VIRTIO_F_VERSION_1));
      assertEquals(2048 * 512, disk.driver.capacity());
      BlkIo io = disk.driver.newIo().read(0x10200).add(disk.driver.allocate(1024));
      disk.driver.submit(io);
      Request request = disk.takeOne();
      assertEquals(VirtioBlk.VIRTIO_BLK_T_IN, request.type());
      assertEquals(0x81, request.sector());
      // The header (of 16 bytes, whatever the text says), the data, the status.
      assertEquals(
          List.of(16L, 1024L, 1L),
          request.buffer().elements().stream().map(Element::length).toList());
      disk.answer(request, 0, 0);
      assertTrue(io.isOk());
      io.discard().range(0x20000, 0x400);
      disk.driver.submit(io);
      request = disk.takeOne();
      assertEquals(VirtioBlk.VIRTIO_BLK_T_DISCARD, request.type());
      assertEquals(0x100, request.data().getLong(0));
      assertEquals(2, request.data().getInt(8));
      // More than there is: historical devices do that.
      disk.answer(request, 0, 5000);
      assertTrue(io.isOk());
    }
  }

  /** The driver's byte order. */
  enum Order {
    LITTLE(ByteOrder.LITTLE_ENDIAN),
    BIG(ByteOrder.BIG_ENDIAN);

    private final ByteOrder order;

    Order(ByteOrder order) {
      this.order = order;
    }
  }
}
