// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.devices.blk.BlkDriver.SECTOR;
import static io.jvirtio.devices.blk.BlkDriver.pattern;
import static io.jvirtio.devices.blk.BlkDriver.status;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_IOERR;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_UNSUPP;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.ScriptedDriver.Used;
import io.jvirtio.testkit.TestMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Requests in flight: order, errors, back-pressure, stop, memory that vanishes, counters. */
class BlkQueueTest {
  static {
    // The device itself records by way of core and does not read this module.
    BlkQueueTest.class.getModule().addReads(ModuleLayer.boot().findModule("jdk.jfr").get());
  }

  private final MemoryBackend disk = new MemoryBackend(1 << 20);
  private final RecordingBackend backend = new RecordingBackend(disk);

  private BlkDriver driver(BlkOptions options) {
    return BlkDriver.of(backend, options);
  }

  @Test
  void requestsEndInTheOrderOfTheBackEnd() {
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      backend.hold = true;
      for (int i = 0; i < 3; i++) {
        driver.chain().readable(driver.header(0, i)).writable(SECTOR).writable(1).submit();
      }
      driver.bench.run();
      assertNull(driver.queue().poll());
      backend.held.addFirst(backend.held.removeLast());
      backend.hold = false;
      driver.bench.run();
      List<Integer> heads = new ArrayList<>();
      driver.queue().pollAll().forEach(used -> heads.add(used.chain().head()));
      assertEquals(List.of(6, 0, 3), heads);
    }
  }

  @Test
  void aFullChannelLeavesBuffersInTheQueue() {
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      backend.hold = true;
      backend.room = 2;
      for (int i = 0; i < 5; i++) {
        driver.chain().readable(driver.header(0, i)).writable(SECTOR).writable(1).submit();
      }
      driver.bench.run();
      assertEquals(2, backend.held.size());
      driver.chain().readable(driver.header(0, 0)).writable(SECTOR).writable(1).submit();
      // Would not end if the owner could not sleep while the channel is full.
      driver.bench.run();
      assertEquals(2, backend.held.size());
      backend.hold = false;
      driver.bench.run();
      assertEquals(6, driver.queue().pollAll().size());
    }
  }

  @Test
  void roomThatComesBackAtTheLastMomentIsUsed() {
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      backend.hold = true;
      backend.room = 1;
      for (int i = 0; i < 2; i++) {
        driver.chain().readable(driver.header(0, i)).writable(SECTOR).writable(1).submit();
      }
      driver.bench.run();
      backend.hold = false;
      // The first look finds nothing, and the channel is full; after the second it has room again,
      // nothing is in flight that would wake the owner, and the driver owes no notification.
      backend.early = 1;
      driver.bench.run();
      assertEquals(2, driver.queue().pollAll().size());
    }
  }

  @Test
  void errorsOfTheBackEndReachTheDriverAndAreCounted() {
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      backend.result = BlockRequest.NO_SPACE;
      assertEquals(VIRTIO_BLK_S_IOERR, driver.write(0, pattern(SECTOR, 1)));
      backend.result = BlockRequest.IO_ERROR;
      Used used = driver.read(0, SECTOR);
      assertEquals(VIRTIO_BLK_S_IOERR, status(used));
      assertEquals(0, used.length(), "data of a failed read may not have been written");
      assertEquals(VIRTIO_BLK_S_IOERR, driver.flush());
      backend.result = BlockRequest.UNSUPPORTED;
      assertEquals(VIRTIO_BLK_S_UNSUPP, driver.ranges(14, BlkDriver.range(0, 1, 0)));
      BlkStats stats = driver.device().stats();
      assertEquals(3, stats.ioErrors());
      assertEquals(1, stats.unsupported());
      assertEquals(0, stats.bytesRead());
      assertEquals(0, stats.bytesWritten());
      assertEquals(1, stats.requests(BlkRequestType.SECURE_ERASE));
      assertEquals(
          "IN 1, OUT 1, FLUSH 1, SECURE_ERASE 1, 0 bytes read, 0 bytes written, 3 errors,"
              + " 1 unsupported",
          stats.toString());
    }
  }

  @Test
  void anErrorEndsARequestOfSeveralRanges() {
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      backend.result = BlockRequest.IO_ERROR;
      assertEquals(
          VIRTIO_BLK_S_IOERR,
          driver.ranges(11, BlkDriver.range(0, 1, 0), BlkDriver.range(1, 1, 0)));
      assertEquals("discard", backend.log());
      backend.result = BlockRequest.OK;
      assertEquals(
          VIRTIO_BLK_S_OK,
          driver.ranges(
              13, BlkDriver.range(0, 1, 0), BlkDriver.range(5, 0, 0), BlkDriver.range(1, 1, 1)));
      assertEquals("zero, unmap", backend.log());
    }
  }

  @Test
  void resetWaitsForWhatIsInFlightAndUsesNothingAfterwards() {
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      backend.hold = true;
      driver.chain().readable(driver.header(0, 0)).writable(SECTOR).writable(1).submit();
      driver.bench.run();
      assertEquals(1, backend.held.size());
      backend.hold = false;
      driver.bench.host().writeStatus(0);
      assertEquals(0, backend.open, "the channel was closed");
      driver.bench.restart();
      assertEquals(1, backend.open);
      assertEquals(VIRTIO_BLK_S_OK, driver.flush());
    }
  }

  @Test
  void aBrokenQueueFinishesWhatIsInFlight() {
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      backend.hold = true;
      driver.chain().readable(driver.header(0, 0)).writable(SECTOR).writable(1).submit();
      driver.bench.run();
      driver.chain().readable(new byte[3]).writable(1).submit();
      driver.bench.run();
      assertEquals(FaultReason.REQUEST_MALFORMED, driver.fault());
      backend.hold = false;
      driver.bench.run();
      assertEquals(0, driver.queue().pending(), "no ring access after the fault");
      driver.bench.restart();
      assertEquals(VIRTIO_BLK_S_OK, driver.flush());
    }
  }

  @Test
  void aBackEndThatCannotOpenBreaksTheQueue() {
    backend.openFailure = new IOException("no more rings");
    try (BlkDriver driver = driver(BlkOptions.defaults())) {
      assertEquals(FaultReason.DEVICE_ERROR, driver.fault());
    }
  }

  @Test
  void observerSeesEveryRequest() {
    List<String> seen = new ArrayList<>();
    RequestObserver observer =
        (queue, type, bytes, status, nanos) -> {
          assertTrue(nanos >= 0);
          seen.add(queue + " " + type + " " + bytes + " " + status);
        };
    try (BlkDriver driver = BlkDriver.of(disk, BlkOptions.builder().observer(observer).build())) {
      driver.write(0, pattern(SECTOR, 1));
      driver.read(0, 2 * SECTOR);
      driver.read(-1, SECTOR);
      driver.flush();
      driver.ranges(13, BlkDriver.range(0, 3, 0), BlkDriver.range(9, 1, 0));
      driver.run(driver.chain().readable(driver.header(99, 0)).writable(1));
    }
    assertEquals(
        List.of(
            "0 OUT 512 0",
            "0 IN 1024 0",
            "0 IN 512 1",
            "0 FLUSH 0 0",
            "0 WRITE_ZEROES 2048 0",
            "0 OTHER 0 2"),
        seen);
  }

  @Test
  void requestsAreRecordedByTheFlightRecorder(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("blk.jfr");
    try (Recording recording = new Recording();
        BlkDriver driver = BlkDriver.of(disk, BlkOptions.defaults())) {
      recording.enable("io.jvirtio.Request");
      recording.start();
      driver.write(0, pattern(SECTOR, 1));
      recording.stop();
      recording.dump(file);
    }
    List<RecordedEvent> events =
        RecordingFile.readAllEvents(file).stream()
            .filter(event -> event.getEventType().getName().equals("io.jvirtio.Request"))
            .toList();
    assertEquals(1, events.size());
    assertEquals("OUT", events.get(0).getString("type"));
    assertEquals(512, events.get(0).getLong("bytes"));
  }

  @Test
  void memoryThatVanishesBreaksTheQueueAndNothingElse(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("ram");
    try (FileChannel ram =
            FileChannel.open(
                file,
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        Arena arena = Arena.ofShared()) {
      long size = 1 << 20;
      MemorySegment mapped = ram.map(MapMode.READ_WRITE, 0, size, arena);
      long upper = 1L << 30;
      TestMemory memory = TestMemory.builder().region(0, 1 << 20).region(upper, mapped).build();
      try (BlkDriver driver =
          new BlkDriver(
              DeviceBench.of(new BlkDevice(backend, BlkOptions.defaults()))
                  .memory(memory)
                  .start())) {
        backend.hold = true;
        // The status stands where the file will end before the request does.
        driver.chain().readable(driver.header(4, 0)).writableAt(upper + size - 1, 1).submit();
        driver.chain().readable(driver.header(4, 0)).writable(1).submit();
        driver.bench.run();
        assertEquals(2, backend.held.size());
        ram.truncate(4096);
        backend.hold = false;
        driver.bench.run();
        assertEquals(FaultReason.MEMORY_VANISHED, driver.fault());
        assertEquals(1, driver.bench.host().faults());
        driver.bench.restart();
        assertEquals(VIRTIO_BLK_S_OK, driver.flush());
        // And the other way: the header is gone before the device reads it.
        driver.chain().readableAt(upper + size - 16, 16).writable(1).submit();
        driver.bench.run();
        assertEquals(2, driver.bench.host().faults());
        driver.bench.restart();
        assertEquals(VIRTIO_BLK_S_OK, driver.flush());
      }
    }
  }
}
