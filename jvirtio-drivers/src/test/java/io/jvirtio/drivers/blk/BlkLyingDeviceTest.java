// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.drivers.blk.InlineDisk.heap;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.drivers.blk.ScriptedDisk.Request;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A block device that lies, is silent, or has nonsense in its configuration. */
class BlkLyingDeviceTest {
  private static final Duration SHORT = Duration.ofMillis(20);

  private static BlkIo read(ScriptedDisk disk, int sectors) throws IOException {
    BlkIo io = disk.driver.newIo().read(0).add(disk.driver.allocate(512L * sectors));
    disk.driver.submit(io);
    return io;
  }

  private static void assertLie(BlkIo io, String what) {
    assertTrue(io.isDone());
    assertEquals(BlkIo.STATUS_NONE, io.status());
    assertTrue(io.failure().getMessage().contains(what), io.failure().getMessage());
    assertThrows(IOException.class, io::check);
  }

  @ParameterizedTest
  @ValueSource(ints = {3, 17, 127, 128, 255})
  void aStatusThatIsNone(int status) throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      BlkIo io = read(disk, 1);
      disk.answer(disk.takeOne(), status);
      assertLie(io, "status " + status);
      assertEquals(1, disk.driver.queue(0).stats().failed());
      // The device goes on all the same.
      BlkIo next = read(disk, 1);
      disk.answer(disk.takeOne(), 0);
      assertTrue(next.isOk());
    }
  }

  @Test
  void aStatusThatIsNotWritten() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      BlkIo io = read(disk, 1);
      Request request = disk.takeOne();
      disk.transport.device(0).use(request.buffer(), 513);
      disk.transport.run();
      assertLie(io, "status 255");
    }
  }

  @ParameterizedTest
  @CsvSource({"1, VIRTIO_BLK_S_IOERR", "2, VIRTIO_BLK_S_UNSUPP"})
  void anErrorIsNoLie(int status, String name) throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      BlkIo io = read(disk, 1);
      disk.answer(disk.takeOne(), status, 0);
      assertEquals(status, io.status());
      assertFalse(io.isOk());
      IOException error = assertThrows(IOException.class, io::check);
      assertTrue(error.getMessage().contains(name), error.getMessage());
      BlkStats stats = disk.driver.queue(0).stats();
      assertEquals(1, stats.ioErrors() + stats.unsupported());
    }
  }

  @Test
  void fewerBytesThanWereAskedFor() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      BlkIo io = read(disk, 2);
      disk.answer(disk.takeOne(), 0, 512);
      assertLie(io, "wrote 512 of 1024");
      // The length of the status need not be counted.
      BlkIo next = read(disk, 2);
      disk.answer(disk.takeOne(), 0, 1024);
      assertTrue(next.isOk());
    }
  }

  @Test
  void moreBytesThanThereAreBreakTheQueue() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      BlkIo lied = read(disk, 1);
      BlkIo other = read(disk, 1);
      disk.answer(disk.take().getFirst(), 0, 10_000);
      for (BlkIo io : List.of(lied, other)) {
        assertLie(io, FaultReason.USED_LENGTH_TOO_LONG.text());
        PeerFault fault = assertInstanceOf(PeerFault.class, io.failure().getCause());
        assertEquals(FaultReason.USED_LENGTH_TOO_LONG, fault.reason());
      }
      assertEquals(DriverDevice.State.BROKEN, disk.driver.device().state());
      IOException refused = assertThrows(IOException.class, () -> read(disk, 1));
      assertTrue(refused.getMessage().contains("broken"), refused.getMessage());
      assertThrows(IOException.class, () -> disk.driver.flush());
      assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[512])));
    }
  }

  @Test
  void oneBrokenQueueBreaksTheDevice() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_MQ)) {
      disk.transport.queues(64, 64);
      disk.set("num_queues", 2).start(how -> how.queues(2));
      BlkIo first = disk.driver.newIo().flush();
      first.read(0).add(disk.driver.allocate(512));
      BlkIo second = disk.driver.newIo().read(0).add(disk.driver.allocate(512));
      disk.driver.queue(0).submit(first);
      disk.driver.queue(1).submit(second);
      disk.transport.run();
      disk.transport.device(1).put(99, 0);
      disk.transport.device(1).publish();
      disk.transport.run();
      assertLie(first, FaultReason.USED_ID_OUT_OF_RANGE.text());
      assertLie(second, FaultReason.USED_ID_OUT_OF_RANGE.text());
    }
  }

  @Test
  void aSilentDeviceIsBroken() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start(how -> how.requestTimeout(SHORT))) {
      BlkIo before = read(disk, 1);
      IOException error =
          assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[1024])));
      assertTrue(error.getMessage().contains(FaultReason.DEVICE_SILENT.text()), error.toString());
      assertLie(before, FaultReason.DEVICE_SILENT.text());
      assertEquals(DriverDevice.State.BROKEN, disk.driver.device().state());
    }
  }

  @Test
  void aSilentDeviceKeepsItsMemoryUntilItWasReset() throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk().start(how -> how.requestTimeout(SHORT).bounceBytes(0))) {
      long idle = disk.driver.memory().allocated();
      MemorySegment mine = disk.driver.allocate(512);
      assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[8192])));
      disk.driver.release(mine);
      // The bounce memory, and what the user gave back.
      assertEquals(idle + 8192 + 512, disk.driver.memory().allocated());
      disk.driver.device().recover(ScriptedDisk.LONG);
      assertEquals(idle, disk.driver.memory().allocated());
      disk.answerAll();
      disk.driver.read(0, heap(new byte[8192]));
    }
  }

  @Test
  void aSlowRequestIsNoticedBehindFastOnes() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start(how -> how.requestTimeout(SHORT))) {
      BlkIo slow = read(disk, 1);
      disk.take();
      disk.answerAll();
      long start = System.nanoTime();
      IOException error = null;
      while (error == null && System.nanoTime() - start < ScriptedDisk.LONG.toNanos()) {
        try {
          disk.driver.read(0, heap(new byte[512]));
        } catch (IOException e) {
          error = e;
        }
      }
      assertLie(slow, FaultReason.DEVICE_SILENT.text());
    }
  }

  @Test
  void aCallbackCannotWaitForWhatOnlyItsCallerCanDo() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      List<Throwable> thrown = new ArrayList<>();
      BlkIo io = disk.driver.newIo().read(0).add(disk.driver.allocate(512));
      io.onCompletion(
          ended -> thrown.add(assertThrows(IllegalStateException.class, disk.driver::flush)));
      disk.driver.submit(io);
      disk.answer(disk.takeOne(), 0);
      assertEquals(1, thrown.size());
      assertTrue(disk.take().isEmpty());
    }
  }

  // ---- the configuration ----

  @ParameterizedTest
  @ValueSource(longs = {0, 1, 511, 513, 3000, 0xffff_ffffL, 0x8000_0000L})
  void aBlockSizeThatIsNone(long size) throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_BLK_SIZE).set("blk_size", size).start()) {
      assertEquals(512, disk.driver.blockSize());
      assertFalse(disk.transport.acceptedFeatures().has(VirtioBlk.VIRTIO_BLK_F_BLK_SIZE));
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, Long.MAX_VALUE, Long.MIN_VALUE, Long.MAX_VALUE / 512 + 1})
  void aCapacityBeyondAllNumbers(long sectors) throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().set("capacity", sectors).start()) {
      long capacity = disk.driver.capacity();
      assertTrue(capacity > 0 && capacity % 512 == 0, "capacity " + capacity);
      disk.answerAll();
      disk.driver.read(capacity - 512, heap(new byte[512]));
      assertThrows(IOException.class, () -> disk.driver.read(capacity, heap(new byte[512])));
    }
  }

  @Test
  void noSegments() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().set("seg_max", 0).start()) {
      assertEquals(1, disk.driver.limits().maxSegments());
      assertFalse(disk.transport.acceptedFeatures().has(VirtioBlk.VIRTIO_BLK_F_SEG_MAX));
      disk.answerAll();
      disk.driver.read(0, heap(new byte[8192]));
    }
    try (ScriptedDisk disk = new ScriptedDisk().set("seg_max", 0xffff_ffffL).start()) {
      assertEquals(62, disk.driver.limits().maxSegments());
    }
  }

  @Test
  void segmentsOfNoSize() throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_SIZE_MAX).set("size_max", 0).start()) {
      assertFalse(disk.transport.acceptedFeatures().has(VirtioBlk.VIRTIO_BLK_F_SIZE_MAX));
    }
    try (ScriptedDisk disk =
        new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_SIZE_MAX).set("size_max", 100)) {
      // Four times 100 bytes hold no sector.
      assertThrows(IOException.class, disk::start);
    }
    try (ScriptedDisk disk =
        new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_SIZE_MAX).set("size_max", 200).start()) {
      List<Request> seen = disk.answerAll();
      disk.driver.read(0, disk.driver.allocate(2048));
      assertEquals(4, seen.size());
      // 200, 200, 112 and the status.
      assertEquals(5, seen.getFirst().buffer().elements().size());
    }
  }

  @Test
  void noQueues() throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_MQ)
            .set("num_queues", 0)
            .start(how -> how.queues(4))) {
      assertEquals(1, disk.driver.queues().size());
    }
    try (ScriptedDisk disk = new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_MQ)) {
      // More than the transport has.
      disk.transport.queues(64, 64, 64);
      disk.set("num_queues", 65535).start(how -> how.queues(1024));
      assertEquals(3, disk.driver.queues().size());
    }
    try (ScriptedDisk disk = new ScriptedDisk()) {
      disk.transport.queues(2);
      assertThrows(IOException.class, disk::start);
    }
    try (ScriptedDisk disk = new ScriptedDisk()) {
      disk.transport.queues();
      assertThrows(IOException.class, disk::start);
    }
  }

  @Test
  void rangesThatAreNone() throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk(
                VirtioBlk.VIRTIO_BLK_F_DISCARD,
                VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES,
                VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE)
            .set("max_discard_sectors", 0)
            .set("max_discard_seg", 1)
            .set("max_write_zeroes_sectors", 8)
            .set("max_write_zeroes_seg", 0)
            .set("max_secure_erase_sectors", 0xffff_ffffL)
            .set("max_secure_erase_seg", 0xffff_ffffL)
            .start()) {
      assertThrows(UnsupportedOperationException.class, () -> disk.driver.discard(0, 512));
      assertThrows(
          UnsupportedOperationException.class, () -> disk.driver.writeZeroes(0, 512, false));
      assertEquals(16, disk.driver.limits().maxSecureEraseRanges());
      disk.answerAll();
      disk.driver.secureErase(0, 1 << 20);
    }
  }

  @Test
  void aTopologyThatIsNone() throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_TOPOLOGY)
            .set("topology.physical_block_exp", 255)
            .set("topology.opt_io_size", 0xffff_ffffL)
            .start()) {
      BlkTopology topology = disk.driver.topology().orElseThrow();
      assertEquals(512, topology.physicalBlockSize());
      assertEquals(0xffff_ffffL * 512, topology.optIoSize());
    }
  }

  @Test
  void aConfigurationSpaceThatEndsEarly() throws IOException {
    ScriptedDisk disk =
        new ScriptedDisk(
            VirtioBlk.VIRTIO_BLK_F_TOPOLOGY,
            VirtioBlk.VIRTIO_BLK_F_MQ,
            VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE,
            VirtioBlk.VIRTIO_BLK_F_DISCARD);
    try (disk) {
      disk.startWithConfig(16, how -> how.queues(2));
      assertTrue(disk.driver.topology().isEmpty());
      assertEquals(1, disk.driver.queues().size());
      assertThrows(UnsupportedOperationException.class, () -> disk.driver.setWriteback(true));
    }
    try (ScriptedDisk none = new ScriptedDisk()) {
      assertThrows(IOException.class, () -> none.startWithConfig(0, how -> how));
    }
  }
}
