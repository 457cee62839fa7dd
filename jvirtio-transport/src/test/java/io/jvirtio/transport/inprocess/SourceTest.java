// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A device that only writes, as one of entropy does; its bytes count, so that they can be checked.
 */
@ParameterizedClass
@EnumSource
class SourceTest {
  private static final int BUFFERS = 200_000;
  private static final int DEPTH = 16;

  private final InProcessOptions options;

  SourceTest(RingFormat format) {
    options = Bench.options(format);
  }

  private static final class SourceDevice implements VirtioDevice {
    @Override
    public int deviceId() {
      return DeviceType.ENTROPY.id();
    }

    @Override
    public int queueCount() {
      return 1;
    }

    @Override
    public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
      int[] next = new int[1];
      return ready -> {
        for (DescriptorChain chain = ready.pop(); chain != null; chain = ready.pop()) {
          long length = chain.writableLength();
          for (long i = 0; i < length; i++) {
            chain.writer().u8(next[0]++ & 0xff);
          }
          ready.push(chain, length);
        }
      };
    }
  }

  /** Buffers of ever other lengths, in one to three elements. */
  private static final class Reader implements UsedBufferHandler {
    private final DriverBuffer buffer;
    private final MemorySegment[] memory = new MemorySegment[DEPTH];
    private int added;
    private int next;
    volatile int taken;
    volatile String mismatch;

    Reader(InProcessTransport transport) throws IOException {
      buffer = new DriverBuffer(transport.memory(), 3);
      for (int i = 0; i < DEPTH; i++) {
        memory[i] = transport.memory().allocate(64, 64);
      }
    }

    void fill(DriverQueue queue) {
      try {
        while (added < BUFFERS && added - taken < DEPTH) {
          MemorySegment whole = memory[added % DEPTH];
          int length = lengthOf(added);
          buffer.clear();
          for (int at = 0, parts = added % 3 + 1; at < length && parts > 0; parts--) {
            int step = parts == 1 ? length - at : Math.min(7, length - at);
            buffer.writable(whole.asSlice(at, step));
            at += step;
          }
          if (!queue.add(buffer, whole)) {
            break;
          }
          added++;
        }
        queue.kick();
      } catch (PeerFault fault) {
        mismatch = fault.getMessage();
      }
    }

    private static int lengthOf(int number) {
      return number % 64 + 1;
    }

    @Override
    public void used(DriverQueue queue) throws PeerFault {
      for (Object token = queue.get(); token != null; token = queue.get()) {
        MemorySegment got = (MemorySegment) token;
        if (queue.writtenLength() != lengthOf(taken)) {
          mismatch = "length " + queue.writtenLength() + " of buffer " + taken;
        }
        for (int i = 0; i < queue.writtenLength(); i++) {
          if (got.get(ValueLayout.JAVA_BYTE, i) != (byte) next++) {
            mismatch = "byte " + i + " of buffer " + taken;
          }
        }
        taken = taken + 1;
      }
      fill(queue);
    }
  }

  private void reads(QueueOwner deviceOwner, QueueOwner owner) throws IOException {
    try (InProcessTransport transport =
        new InProcessTransport(new SourceDevice(), deviceOwner, options)) {
      EchoDriver.negotiate(transport);
      Reader reader = new Reader(transport);
      DriverQueue queue =
          transport
              .findQueues(List.of(new QueueRequest("requests", 0, 3, reader, owner)))
              .getFirst();
      EchoDriver.driverOk(transport);
      DriverQueueSet.onOwner(owner, () -> reader.fill(queue));
      long start = System.nanoTime();
      while (reader.taken < BUFFERS && reader.mismatch == null) {
        if (owner instanceof InlineOwner inline) {
          inline.runUntilIdle();
        } else {
          LockSupport.parkNanos(100_000);
        }
        assertTrue(
            System.nanoTime() - start < EchoBench.DEADLINE.toNanos(), "stuck at " + reader.taken);
      }
      assertNull(reader.mismatch);
      assertEquals(BUFFERS, queue.counters().used());
      transport.reset();
      transport.deleteQueues();
    }
  }

  @Test
  void inline() throws IOException {
    InlineOwner owner = new InlineOwner();
    reads(owner, owner);
  }

  @ParameterizedTest
  @EnumSource
  void threaded(LoopMode mode) throws IOException {
    try (Loops loops = new Loops()) {
      EventLoop driver = loops.start("driver", mode);
      reads(loops.start("device", mode), driver);
    }
  }
}
