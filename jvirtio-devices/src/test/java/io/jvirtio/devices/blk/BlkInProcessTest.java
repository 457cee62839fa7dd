// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.spec.VirtioBlk.SECTOR_SIZE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_T_IN;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_T_OUT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.testkit.RingFormat;
import io.jvirtio.transport.inprocess.InProcessOptions;
import io.jvirtio.transport.inprocess.InProcessTransport;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The device behind the in-process transport, driven by real driver queues. */
class BlkInProcessTest {
  private static final Duration DEADLINE = Duration.ofSeconds(60);
  private static final int BLOCK = 4096;
  private static final int DEPTH = 8;
  private static final int QUEUES = 2;

  /** Each slot writes a block of its own and reads it back, over and over. */
  private static final class RawDriver implements UsedBufferHandler {
    private final class Slot {
      final long sector;
      final MemorySegment header;
      final MemorySegment data;
      final MemorySegment status;
      final DriverBuffer write;
      final DriverBuffer read;
      int round;
      boolean reading;

      Slot(DriverTransport transport, long sector) throws IOException {
        this.sector = sector;
        header = transport.memory().allocate(16, 16);
        data = transport.memory().allocate(BLOCK, 64);
        status = transport.memory().allocate(1, 1);
        write =
            new DriverBuffer(transport.memory(), 3)
                .readable(header)
                .readable(data)
                .writable(status);
        read =
            new DriverBuffer(transport.memory(), 3)
                .readable(header)
                .writable(data)
                .writable(status);
      }

      void submit(DriverQueue queue) throws PeerFault {
        header.set(int32, 0, reading ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT);
        header.set(int64, 8, sector);
        status.set(ValueLayout.JAVA_BYTE, 0, (byte) 0xff);
        data.fill(reading ? 0 : pattern());
        if (!queue.add(reading ? read : write, this)) {
          throw new AssertionError("no room");
        }
      }

      byte pattern() {
        return (byte) (round * 31 + sector);
      }

      void check(long length) {
        long expected = reading ? BLOCK + 1 : 1;
        if (status.get(ValueLayout.JAVA_BYTE, 0) != VIRTIO_BLK_S_OK || length != expected) {
          mismatch = "status or length " + length;
        }
        for (int i = 0; reading && i < BLOCK; i += 511) {
          if (data.get(ValueLayout.JAVA_BYTE, i) != pattern()) {
            mismatch = "byte " + i + " of sector " + sector + " in round " + round;
          }
        }
      }
    }

    private final ValueLayout.OfInt int32;
    private final ValueLayout.OfLong int64;
    private final List<Slot> slots = new ArrayList<>();
    private final int rounds;
    volatile int done;
    volatile String mismatch;

    RawDriver(DriverTransport transport, int index, int rounds) throws IOException {
      ByteOrder order = transport.isBigEndian() ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
      int32 = ValueLayout.JAVA_INT.withOrder(order);
      int64 = ValueLayout.JAVA_LONG.withOrder(order);
      this.rounds = rounds;
      for (int i = 0; i < DEPTH; i++) {
        slots.add(new Slot(transport, (long) (index * DEPTH + i) * BLOCK / SECTOR_SIZE));
      }
    }

    void begin(DriverQueue queue) {
      try {
        for (Slot slot : slots) {
          slot.submit(queue);
        }
        queue.kick();
      } catch (PeerFault fault) {
        mismatch = fault.getMessage();
      }
    }

    @Override
    public void used(DriverQueue queue) throws PeerFault {
      for (Slot slot = (Slot) queue.get(); slot != null; slot = (Slot) queue.get()) {
        slot.check(queue.writtenLength());
        if (slot.reading) {
          slot.round++;
        }
        slot.reading = !slot.reading;
        if (slot.round < rounds) {
          slot.submit(queue);
        } else {
          done = done + 1;
        }
      }
      queue.kick();
    }
  }

  private static void exercise(
      QueueOwner deviceOwner, QueueOwner owner, InProcessOptions options, int rounds)
      throws IOException {
    BlkDevice device =
        new BlkDevice(new MemoryBackend(4 << 20), BlkOptions.builder().queues(QUEUES).build());
    try (InProcessTransport transport = new InProcessTransport(device, deviceOwner, options)) {
      transport.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
      transport.writeDriverFeatures(transport.deviceFeatures());
      if (!transport.isLegacy()) {
        transport.writeStatus(transport.status() | DeviceStatus.FEATURES_OK);
      }
      List<RawDriver> drivers = new ArrayList<>();
      List<QueueRequest> requests = new ArrayList<>();
      for (int i = 0; i < QUEUES; i++) {
        drivers.add(new RawDriver(transport, i, rounds));
        requests.add(new QueueRequest("requests" + i, 0, 3, drivers.get(i), owner));
      }
      List<DriverQueue> queues = transport.findQueues(requests);
      transport.writeStatus(transport.status() | DeviceStatus.DRIVER_OK);
      for (int i = 0; i < QUEUES; i++) {
        RawDriver driver = drivers.get(i);
        DriverQueue queue = queues.get(i);
        DriverQueueSet.onOwner(owner, () -> driver.begin(queue));
      }
      await(owner, drivers);
      for (int i = 0; i < QUEUES; i++) {
        assertNull(drivers.get(i).mismatch);
        assertEquals(2L * rounds * DEPTH, queues.get(i).counters().used());
      }
      assertEquals(0, transport.host().faults());
      transport.reset();
      transport.deleteQueues();
    }
  }

  private static void await(QueueOwner owner, List<RawDriver> drivers) {
    long start = System.nanoTime();
    while (drivers.stream().anyMatch(d -> d.done < DEPTH && d.mismatch == null)) {
      if (owner instanceof InlineOwner inline) {
        inline.runUntilIdle();
      } else {
        LockSupport.parkNanos(100_000);
      }
      assertTrue(System.nanoTime() - start < DEADLINE.toNanos(), "requests do not come back");
    }
  }

  private static InProcessOptions options(RingFormat format) {
    return InProcessOptions.defaults().withRingFeatures(format.applyTo(DeviceHost.ringFeatures()));
  }

  @ParameterizedTest
  @EnumSource
  void inline(RingFormat format) throws IOException {
    InlineOwner owner = new InlineOwner();
    exercise(owner, owner, options(format), 5000);
  }

  @ParameterizedTest
  @CsvSource({"false", "true"})
  void legacy(boolean bigEndian) throws IOException {
    InlineOwner owner = new InlineOwner();
    exercise(owner, owner, InProcessOptions.defaults().withLegacy(bigEndian), 1000);
  }

  static Stream<Arguments> threads() {
    return Arrays.stream(LoopMode.values())
        .flatMap(m -> Arrays.stream(RingFormat.values()).map(f -> Arguments.of(m, f)));
  }

  @ParameterizedTest
  @MethodSource("threads")
  void threaded(LoopMode mode, RingFormat format) throws IOException {
    List<Throwable> faults = new CopyOnWriteArrayList<>();
    try (EventLoop device = EventLoop.start("device", mode, (source, fault) -> faults.add(fault));
        EventLoop driver = EventLoop.start("driver", mode, (source, fault) -> faults.add(fault))) {
      exercise(device, driver, options(format), 5000);
    }
    assertEquals(List.of(), faults);
  }
}
