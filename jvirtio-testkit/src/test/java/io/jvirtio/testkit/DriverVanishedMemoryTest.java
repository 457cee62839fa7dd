// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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

  /** Found by whatever touches the ring first, in code that is compiled or not. */
  @ParameterizedTest
  @CsvSource({"PLAIN, 1", "PLAIN, 30000", "EVENT_IDX, 1", "EVENT_IDX, 30000"})
  void aTruncatedFileBreaksTheQueue(DriverSession session, int warmUp)
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
    InlineOwner owner = new InlineOwner();
    try (FileChannel file = FileChannel.open(folder.resolve("shared"), CREATE, READ, WRITE);
        Arena arena = Arena.ofShared()) {
      FileMemory memory = new FileMemory(file, arena);
      DriverQueueSet set = new DriverQueueSet(memory, queue -> {}, (queue, fault) -> {});
      DriverQueue queue =
          set.add(
              new QueueRequest("test", 8, 1, handler, owner),
              new DriverQueueOptions(0, "test", 8, 1, session.features(), 0, false));
      set.start(0);
      RawRing ring = new RawRing(memory, queue.layout(), session.order());
      MemorySegment data = memory.allocate(64, 64);
      DriverBuffer buffer = new DriverBuffer(memory, 1);
      for (int i = 0; i < warmUp; i++) {
        queue.add(buffer.clear().writable(data), "token");
        queue.kick();
        ring.usedEntry(i, ring.availEntry(i), 0);
        ring.usedIdx(i + 1);
        owner.runUntilIdle();
      }
      assertEquals(warmUp, queue.counters().used());
      assertFalse(queue.isBroken());
      file.truncate(0);
      owner.runUntilIdle();
      owner.runUntilIdle();
      assertEquals(1, faults.size());
      assertEquals(FaultReason.MEMORY_VANISHED, queue.fault().reason());
      set.delete();
      memory.release(data);
      assertEquals(0, memory.allocated());
    }
  }
}
