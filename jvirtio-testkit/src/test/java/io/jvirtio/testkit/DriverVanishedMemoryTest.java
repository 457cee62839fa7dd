// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.jvirtio.device.EventSource;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.spec.PackedRing;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A device truncates the file behind the memory that a driver shares with it. */
class DriverVanishedMemoryTest {
  private static final long SIZE = 0x1_0000;

  @TempDir Path folder;

  /** One region, in a file. */
  private static final class FileMemory extends DriverMemory {
    private final FileChannel file;
    private final Arena arena;

    FileMemory(FileChannel file, Arena arena) {
      this.file = file;
      this.arena = arena;
    }

    @Override
    protected Region grow(long bytes) throws IOException {
      return new Region(file.map(MapMode.READ_WRITE, 0, SIZE, arena), 0x10_0000);
    }
  }

  /** One that never sleeps; what a source throws goes nowhere. */
  private static final class BusyOwner implements QueueOwner {
    private final List<EventSource> sources = new ArrayList<>();

    @Override
    public boolean runUntil(BooleanSupplier done, Duration deadline) {
      long start = System.nanoTime();
      do {
        for (EventSource source : sources) {
          try {
            source.poll();
          } catch (InternalError late) {
            // The runner finds out in one of its next turns.
            continue;
          }
        }
      } while (!done.getAsBoolean() && System.nanoTime() - start < deadline.toNanos());
      return done.getAsBoolean();
    }

    @Override
    public void execute(Runnable task) {
      task.run();
    }

    @Override
    public void wakeUp() {}

    @Override
    public boolean isOwner() {
      return true;
    }

    @Override
    public void addSource(EventSource source) {
      sources.add(source);
    }

    @Override
    public void removeSource(EventSource source) {
      sources.remove(source);
    }

    @Override
    public void watch(int fd) {}

    @Override
    public void unwatch(int fd) {}
  }

  /** Found by whatever touches the ring first, in code that is compiled or not. */
  @ParameterizedTest
  @CsvSource({
    "PLAIN, 1, false",
    "PLAIN, 30000, false",
    "EVENT_IDX, 1, false",
    "EVENT_IDX, 30000, false",
    "PLAIN, 1, true",
    "PLAIN, 30000, true",
    "EVENT_IDX, 1, true",
    "EVENT_IDX, 30000, true",
    "PACKED, 1, false",
    "PACKED, 30000, false",
    "PACKED_EVENT_IDX, 1, true",
    "PACKED_EVENT_IDX, 30000, true"
  })
  void aTruncatedFileBreaksTheQueue(DriverSession session, int warmUp, boolean busy)
      throws IOException, PeerFault {
    List<PeerFault> faults = new ArrayList<>();
    UsedBufferHandler handler =
        new UsedBufferHandler() {
          @Override
          public void used(DriverQueue queue) throws PeerFault {
            while (queue.get() != null) {
              queue.counters();
            }
          }

          @Override
          public void broken(DriverQueue queue, PeerFault fault) {
            faults.add(fault);
          }
        };
    QueueOwner owner = busy ? new BusyOwner() : new InlineOwner();
    try (FileChannel file = FileChannel.open(folder.resolve("shared"), CREATE, READ, WRITE);
        Arena arena = Arena.ofShared()) {
      FileMemory memory = new FileMemory(file, arena);
      DriverQueueSet set = new DriverQueueSet(memory, queue -> {}, (queue, fault) -> {});
      DriverQueue queue =
          set.add(
              new QueueRequest("test", 8, 1, handler, owner),
              new DriverQueueOptions(0, "test", 8, 1, session.features(), 0, false));
      set.start(0);
      RawRing ring =
          session.isPacked() ? null : new RawRing(memory, queue.layout(), session.order());
      PackedRawRing packed = session.isPacked() ? new PackedRawRing(memory, queue.layout()) : null;
      MemorySegment data = memory.allocate(64, 64);
      DriverBuffer buffer = new DriverBuffer(memory, 1);
      for (int i = 0; i < warmUp; i++) {
        queue.add(buffer.clear().writable(data), "token");
        queue.kick();
        if (packed != null) {
          packed.flags(i % 8, PackedRing.usedFlags(i / 8 % 2 == 0));
        } else {
          ring.usedEntry(i, ring.availEntry(i), 0);
          ring.usedIdx(i + 1);
        }
        owner.runUntil(() -> queue.inFlight() == 0, Duration.ofSeconds(30));
      }
      assertEquals(warmUp, queue.counters().used());
      assertFalse(queue.isBroken());
      file.truncate(0);
      owner.runUntil(queue::isBroken, Duration.ofSeconds(30));
      owner.runUntil(() -> false, Duration.ZERO);
      assertEquals(1, faults.size());
      assertEquals(FaultReason.MEMORY_VANISHED, queue.fault().reason());
      set.delete();
      memory.release(data);
      assertEquals(0, memory.allocated());
    }
  }
}
