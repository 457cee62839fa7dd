// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import static io.jvirtio.backends.ImageDriver.SECTOR;
import static io.jvirtio.backends.ImageDriver.pattern;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileOptions.Engine;
import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.EventSource;
import io.jvirtio.device.HostListener;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.BlkRequests;
import io.jvirtio.testkit.RawRing;
import io.jvirtio.testkit.ScriptedDriver;
import io.jvirtio.testkit.ScriptedDriver.Used;
import io.jvirtio.testkit.TestMemory;
import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** An image served on real event loops: the driver sleeps until it is notified, and so do they. */
class EventLoopTest {
  private static final int CAPACITY = 4 << 20;
  private static final int QUEUES = 2;
  private static final int BYTES = 8 * SECTOR;
  private static final int SLOTS = CAPACITY / BYTES;

  @TempDir(factory = TargetFolder.class)
  Path folder;

  /** Counts the notifications of each queue. */
  private static final class Listener implements HostListener {
    final Semaphore[] used = {new Semaphore(0), new Semaphore(0)};

    @Override
    public void usedBuffers(int queue) {
      used[queue].release();
    }

    /** Every queue catches its own: none should come out. */
    void fault(EventSource source, Throwable fault) {
      throw new AssertionError("from " + source, fault);
    }

    @Override
    public void configurationChanged() {}

    @Override
    public void queueBroken(int queue, PeerFault fault) {
      throw new AssertionError(fault);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "AUTO, EVENT, false",
    "AUTO, ADAPTIVE, false",
    "AUTO, POLL, false",
    "AUTO, EVENT, true",
    "WORKERS, EVENT, false",
    "WORKERS, ADAPTIVE, true",
  })
  void requestsAndSleepInTurn(Engine engine, LoopMode mode, boolean direct)
      throws IOException, PeerFault, InterruptedException {
    Path path = ImageDriver.sparse(folder, CAPACITY);
    Listener listener = new Listener();
    EventLoop[] loops = new EventLoop[QUEUES];
    try (RawFileBackend backend = RawFileBackend.open(ImageDriver.options(path, engine, direct));
        TestMemory memory = TestMemory.standard()) {
      BlkDevice device = new BlkDevice(backend, BlkOptions.builder().queues(QUEUES).build());
      DeviceHost host = new DeviceHost(device, listener);
      host.setMemory(memory.snapshot(), queue -> null);
      host.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
      host.writeDriverFeatures(
          host.deviceFeatures().without(ReservedFeatures.VIRTIO_F_RING_PACKED));
      host.writeStatus(host.status() | DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK);
      ScriptedDriver[] drivers = new ScriptedDriver[QUEUES];
      for (int i = 0; i < QUEUES; i++) {
        loops[i] = EventLoop.start("queue-" + i, mode, listener::fault);
        boolean eventIdx = host.driverFeatures().has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
        drivers[i] =
            new ScriptedDriver(
                memory, RawRing.allocate(memory, 64), ByteOrder.LITTLE_ENDIAN, eventIdx);
        host.startQueue(i, drivers[i].layout(), loops[i], false);
      }
      byte[] expected = new byte[CAPACITY];
      exchange(drivers, loops, listener, memory, expected);
      host.reset();
      for (EventLoop loop : loops) {
        loop.close();
      }
      assertArrayEquals(expected, Files.readAllBytes(path));
    }
  }

  private static void exchange(
      ScriptedDriver[] drivers,
      EventLoop[] loops,
      Listener listener,
      TestMemory memory,
      byte[] expected)
      throws InterruptedException {
    Random random = new Random(7);
    long[] mark = memory.mark();
    for (int round = 0; round < 300; round++) {
      memory.release(mark);
      int queue = round % QUEUES;
      int batch = 1 + random.nextInt(20);
      boolean write = random.nextBoolean();
      int first = random.nextInt(SLOTS - batch);
      for (int i = 0; i < batch; i++) {
        int at = (first + i) * BYTES;
        if (write) {
          byte[] data = pattern(BYTES, round + i);
          System.arraycopy(data, 0, expected, at, BYTES);
          BlkRequests.out(drivers[queue], at / SECTOR, data).add();
        } else {
          BlkRequests.in(drivers[queue], at / SECTOR, BYTES).add();
        }
      }
      if (drivers[queue].publish()) {
        loops[queue].wakeUp();
      }
      for (int i = 0; i < batch; i++) {
        check(await(drivers[queue], listener.used[queue]), expected);
      }
    }
  }

  private static void check(Used used, byte[] expected) {
    assertEquals(0, BlkRequests.status(used.chain()));
    byte[] header = used.chain().readableBytes();
    if (header[0] == 0) {
      int sector = (header[8] & 0xff) | (header[9] & 0xff) << 8;
      byte[] wanted = Arrays.copyOfRange(expected, sector * SECTOR, sector * SECTOR + BYTES);
      assertArrayEquals(wanted, BlkRequests.data(used.chain()));
    }
  }

  /** The next used buffer; sleeps for a notification only as a driver may. */
  private static Used await(ScriptedDriver driver, Semaphore notified) throws InterruptedException {
    while (true) {
      Used used = driver.poll();
      if (used != null) {
        return used;
      }
      if (driver.enableNotifications()) {
        assertTrue(notified.tryAcquire(30, TimeUnit.SECONDS), "a notification is missing");
      }
    }
  }
}
