// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.drivers.blk.InlineDisk.heap;
import static io.jvirtio.drivers.blk.InlineDisk.pattern;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.drivers.Way;
import io.jvirtio.drivers.blk.ScriptedDisk.Request;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What becomes of requests when the device is lost, breaks, is frozen, or goes. */
class BlkLossTest {
  private static final Duration SHORT = Duration.ofMillis(20);

  /** One request in flight, and more waiting than the ring has room for. */
  private static List<BlkIo> load(ScriptedDisk disk) throws IOException {
    List<BlkIo> all = new ArrayList<>();
    for (int i = 0; i < 100; i++) {
      all.add(disk.driver.newIo().write(512L * i).add(heap(pattern(512, i))));
    }
    for (BlkIo io : all.subList(0, 90)) {
      disk.driver.submit(io);
    }
    List<Request> taken = disk.take();
    assertTrue(taken.size() < 90, taken.size() + " in flight");
    for (BlkIo io : all.subList(90, 100)) {
      disk.driver.submit(io);
    }
    return all;
  }

  private static void assertRepeated(ScriptedDisk disk, List<BlkIo> all) {
    List<Request> seen = disk.answerAll();
    disk.transport.run();
    for (Request request : seen) {
      byte[] data = new byte[512];
      request.data().get(data);
      assertArrayEquals(pattern(512, (int) request.sector()), data);
    }
    assertEquals(100, seen.size());
    assertEquals(100, seen.stream().mapToLong(Request::sector).distinct().count());
    all.forEach(io -> assertTrue(io.isOk(), io.toString()));
  }

  @Test
  void whatIsInFlightWhenItIsFrozenIsRepeated() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      List<BlkIo> all = load(disk);
      disk.driver.device().freeze();
      assertEquals(0, disk.transport.currentStatus());
      all.forEach(io -> assertTrue(io.isBusy()));
      assertNull(disk.driver.queue(0).counters());
      disk.driver.device().restore();
      assertRepeated(disk, all);
    }
  }

  @ParameterizedTest
  @EnumSource
  void whatIsSubmittedWhileItIsFrozenWaits(Way way) throws IOException {
    try (InlineDisk disk = new InlineDisk(way)) {
      disk.driver.device().freeze();
      CompletableFuture<Void> write = disk.driver.writeAsync(0, heap(pattern(512, 1)));
      disk.run();
      assertFalse(write.isDone());
      disk.driver.device().restore();
      disk.run();
      write.join();
      assertArrayEquals(pattern(512, 1), disk.data.read(0, 512));
    }
  }

  @ParameterizedTest
  @EnumSource(OnLoss.class)
  void aDeviceThatIsLostAndFound(OnLoss what) throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start(how -> how.onLoss(what))) {
      disk.transport.reconnects(true);
      List<BlkIo> all = load(disk);
      disk.transport.lose(new IOException("pulled out"));
      disk.transport.run();
      assertEquals(State.LOST, disk.driver.device().state());
      if (what == OnLoss.FAIL) {
        for (BlkIo io : all) {
          assertTrue(io.failure().getMessage().contains("broken"), io.failure().getMessage());
        }
        assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[512])));
      } else {
        all.forEach(io -> assertTrue(io.isBusy()));
      }
      disk.driver.device().recover(ScriptedDisk.LONG);
      if (what == OnLoss.RETRY) {
        assertRepeated(disk, all);
      }
      disk.answerAll();
      disk.driver.read(0, heap(new byte[512]));
    }
  }

  @ParameterizedTest
  @EnumSource(OnLoss.class)
  void aDeviceThatNeedsAReset(OnLoss what) throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start(how -> how.onLoss(what))) {
      List<BlkIo> all = load(disk);
      disk.transport.needReset();
      disk.transport.run();
      assertEquals(State.BROKEN, disk.driver.device().state());
      all.forEach(io -> assertEquals(what == OnLoss.FAIL, io.isDone()));
      disk.driver.device().recover(ScriptedDisk.LONG);
      if (what == OnLoss.RETRY) {
        assertRepeated(disk, all);
      }
    }
  }

  @Test
  void whatIsLostBeforeTheOwnerNoticedFailsToo() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      disk.transport.reconnects(true);
      List<BlkIo> all = load(disk);
      disk.transport.lose(new IOException("pulled out"));
      disk.driver.device().recover(ScriptedDisk.LONG);
      all.forEach(io -> assertTrue(io.isDone() && !io.isOk()));
    }
  }

  @Test
  void aQueueThatBreaksBeforeItRunsIsNotForgotten() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start(how -> how.onLoss(OnLoss.RETRY))) {
      List<BlkIo> all = load(disk);
      disk.driver.device().declareBroken(new PeerFault(FaultReason.DEVICE_SILENT, 0));
      disk.transport.run();
      // A device that still had something to use, and does so in the ring that comes after.
      disk.transport.before(
          "writeStatus",
          () -> {
            if (disk.transport.queue(0) != null) {
              disk.transport.queue(0).breakQueue(new PeerFault(FaultReason.USED_IDX_JUMP, 1));
              disk.transport.run();
            }
          });
      assertThrows(IOException.class, () -> disk.driver.device().recover(ScriptedDisk.LONG));
      assertEquals(State.FAILED, disk.driver.device().state());
      all.forEach(io -> assertTrue(io.isBusy()));
      disk.transport.before("writeStatus", null);
      disk.driver.device().recover(ScriptedDisk.LONG);
      assertEquals(State.LIVE, disk.driver.device().state());
      assertRepeated(disk, all);
    }
  }

  @Test
  void aDeviceThatIsNotRecoveredFailsWhatWasKept() throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk().start(how -> how.onLoss(OnLoss.RETRY).requestTimeout(SHORT))) {
      BlkIo kept = disk.driver.newIo().read(0).add(disk.driver.allocate(512));
      disk.driver.submit(kept);
      disk.take();
      disk.transport.lose(new IOException("pulled out"));
      disk.transport.run();
      assertTrue(kept.isBusy());
      assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[512])));
      assertTrue(kept.isDone());
      disk.transport.reconnects(true);
      disk.driver.device().recover(ScriptedDisk.LONG);
      disk.answerAll();
      disk.driver.read(0, heap(new byte[512]));
    }
  }

  @Test
  void aSilentDeviceIsReset() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start(how -> how.requestTimeout(SHORT))) {
      assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[512])));
      disk.driver.device().recover(ScriptedDisk.LONG);
      disk.answerAll();
      disk.driver.read(0, heap(new byte[512]));
      assertEquals(State.LIVE, disk.driver.device().state());
    }
  }

  @Test
  void anotherDeviceIsNotTakenForTheSame() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      disk.driver.device().freeze();
      disk.set("seg_max", 1);
      disk.transport.config(disk.config.array());
      assertThrows(IOException.class, () -> disk.driver.device().restore());
      assertEquals(State.FAILED, disk.driver.device().state());
      disk.set("seg_max", 8);
      disk.transport.config(disk.config.array());
      disk.driver.device().recover(ScriptedDisk.LONG);
      disk.answerAll();
      disk.driver.read(0, heap(new byte[512]));
    }
  }

  @Test
  void aRestoreThatFailsCanBeTriedAgain() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      long allocated = disk.driver.memory().allocated();
      List<BlkIo> all = load(disk);
      disk.driver.device().freeze();
      disk.transport.fail("findQueues", new IOException("not now"));
      assertThrows(IOException.class, () -> disk.driver.device().restore());
      all.forEach(io -> assertTrue(io.isBusy()));
      disk.transport.fail("findQueues", null);
      disk.driver.device().recover(ScriptedDisk.LONG);
      assertRepeated(disk, all);
      disk.driver.device().freeze();
      disk.driver.device().restore();
      assertTrue(disk.driver.memory().allocated() >= allocated);
    }
  }

  @Test
  void theCacheModeOutlivesAReset() throws IOException {
    try (ScriptedDisk disk =
        new ScriptedDisk(VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE, VirtioBlk.VIRTIO_BLK_F_FLUSH)) {
      disk.set("writeback", 1).start();
      disk.answerAll();
      disk.driver.setWriteback(false);
      disk.driver.device().freeze();
      disk.transport.config(disk.config.array());
      disk.driver.device().restore();
      assertFalse(disk.driver.writeback());
    }
  }

  @Test
  void theCapacityMayBeAnotherAfterwards() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      List<Long> heard = new ArrayList<>();
      disk.driver.onCapacityChange(heard::add);
      disk.driver.device().freeze();
      disk.set("capacity", 4096);
      disk.transport.config(disk.config.array());
      disk.driver.device().restore();
      assertEquals(List.of(4096L * 512), heard);
    }
  }

  @Test
  void aDriverThatIsClosedFailsEverything() throws IOException {
    ScriptedDisk disk = new ScriptedDisk().start();
    List<BlkIo> all = load(disk);
    CompletableFuture<Void> future = disk.driver.readAsync(0, heap(new byte[1024]));
    int[] called = new int[1];
    all.forEach(io -> io.onCompletion(ended -> called[0]++));
    disk.driver.close();
    all.forEach(io -> assertTrue(io.isDone() && !io.isOk()));
    assertEquals(100, called[0]);
    assertThrows(CompletionException.class, future::join);
    assertThrows(IOException.class, () -> disk.driver.submit(all.getFirst()));
    assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[512])));
    assertTrue(disk.transport.isClosed());
    disk.driver.close();
  }

  @Test
  void aDriverThatGoesLeavesNoMemoryBehind() throws IOException {
    try (ScriptedDisk disk = new ScriptedDisk().start()) {
      disk.answerAll();
      disk.driver.read(0, heap(new byte[8192]));
      disk.driver.device().stop();
      assertEquals(0, disk.transport.memory().allocated());
      assertEquals(0, disk.transport.currentStatus() & DeviceStatus.DRIVER_OK);
    }
  }

  @Test
  void aProbeThatFailsLeavesNoMemoryBehind() throws IOException {
    for (String call : List.of("findQueues", "queueMaxSize", "queueCount")) {
      try (ScriptedDisk disk = new ScriptedDisk()) {
        disk.transport.fail(call, new IOException("no"));
        assertThrows(IOException.class, disk::start);
        assertEquals(0, disk.transport.memory().allocated());
      }
    }
  }
}
