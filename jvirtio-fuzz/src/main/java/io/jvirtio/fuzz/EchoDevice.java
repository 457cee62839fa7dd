// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.ChainReader;
import io.jvirtio.queue.ChainWriter;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.testkit.DeviceBench;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;

/** Echoes by every way that there is into a chain; keeps every third buffer for a while. */
final class EchoDevice implements VirtioDevice {
  /** A driver whose buffers are its rings can feed itself for ever. */
  private static final int MOST_CHAINS = 4096;

  private static final int MOST_BYTES = 1 << 16;

  private static final byte[] HELLO = "hello".getBytes();

  /** An honest driver sees that it works. */
  static void echoes(DeviceBench bench) {
    bench.driver(0).chain().readable(HELLO).writable(HELLO.length).submit();
    bench.run();
    if (!Arrays.equals(HELLO, bench.driver(0).poll().bytes())) {
      throw new AssertionError("no echo after a reset");
    }
  }

  @Override
  public int deviceId() {
    return 42;
  }

  @Override
  public int queueCount() {
    return 1;
  }

  @Override
  public QueueHandler startQueue(DeviceQueue started, QueueOwner owner) {
    return new Handler(started);
  }

  private static final class Handler implements QueueHandler {
    private final DeviceQueue queue;
    private final Deque<DescriptorChain> kept = new ArrayDeque<>();
    private int taken;

    Handler(DeviceQueue queue) {
      this.queue = queue;
    }

    @Override
    public void available(DeviceQueue ready) throws PeerFault {
      while (taken < MOST_CHAINS) {
        DescriptorChain chain = ready.pop();
        if (chain == null) {
          return;
        }
        if (taken++ % 3 == 2) {
          kept.addFirst(chain);
        } else {
          ready.push(chain, echo(chain));
        }
      }
      ready.postpone();
    }

    @Override
    public boolean poll() throws PeerFault {
      boolean any = !kept.isEmpty();
      while (!kept.isEmpty()) {
        DescriptorChain chain = kept.removeFirst();
        queue.push(chain, echo(chain));
      }
      return any;
    }

    private static long echo(DescriptorChain chain) throws PeerFault {
      checkSegments(chain);
      ChainReader reader = chain.reader();
      ChainWriter writer = chain.writer();
      long most = Math.min(reader.remaining(), writer.remaining());
      if (most > MOST_BYTES) {
        reader.skip(reader.remaining());
        writer.skip(writer.remaining());
        return 0;
      }
      while (writer.position() < most) {
        switch ((int) Math.min(most - writer.position(), 16)) {
          case 1 -> writer.u8(reader.u8());
          case 2, 3 -> writer.le16(reader.le16());
          case 4, 5, 6, 7 -> writer.le32(reader.le32());
          case 8, 9, 10, 11, 12, 13, 14, 15 -> writer.le64(reader.le64());
          default -> {
            byte[] bytes = new byte[13];
            reader.bytes(bytes, 0, 13);
            writer.bytes(bytes, 0, 13);
            writer.u8(reader.u8());
          }
        }
      }
      return most;
    }

    private static void checkSegments(DescriptorChain chain) {
      long readable = 0;
      long writable = 0;
      for (int i = 0; i < chain.segmentCount(); i++) {
        if (chain.segmentLength(i) <= 0) {
          throw new AssertionError("segment of " + chain.segmentLength(i) + " bytes");
        }
        if (i < chain.readableCount()) {
          readable += chain.segmentLength(i);
        } else {
          writable += chain.segmentLength(i);
        }
      }
      if (readable != chain.readableLength() || writable != chain.writableLength()) {
        throw new AssertionError("segments do not add up to the length of the chain");
      }
    }
  }
}
