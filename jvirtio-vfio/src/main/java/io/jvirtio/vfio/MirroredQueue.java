// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueLayout;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A queue whose rings and buffers are in memory of the client that is not mapped. The device works
 * in a mirror. Before it looks, new buffers are read from the client with their descriptors and
 * what is readable of them; what was written and used is written to the client before the device's
 * host gets to notify.
 *
 * <p>The device's own notifications never leave the mirror, so that the driver always notifies, and
 * the driver's suppression never gets there, so that the device always does. Owner only, except
 * {@link #kicked}.
 */
abstract class MirroredQueue implements QueueHandler {
  private static final Logger LOG = System.getLogger(MirroredQueue.class.getName());

  /** The most that is read for one buffer, so that no driver keeps a worker forever. */
  private static final long MAX_READABLE = 64 << 20;

  private static final int DESC_SIZE = 16;
  private static final int MAX_INDIRECT = 1024;

  /** How long the control thread may be away before its wait is taken for one for this queue. */
  private static final long PATIENCE_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  private record Writable(long address, long length) {}

  final DmaChannel channel;
  final QueueLayout layout;
  final int size;
  final ValueLayout.OfShort le16;
  final ValueLayout.OfInt le32;
  final ValueLayout.OfLong le64;
  final MemorySegment scratch = Arena.ofAuto().allocate(8, 8);
  private final Mirrors mirrors;
  private final QueueHandler handler;
  private volatile boolean kicked = true;
  private boolean started;
  private boolean dead;

  MirroredQueue(
      Mirrors mirrors,
      DmaChannel channel,
      QueueLayout layout,
      QueueHandler handler,
      DeviceQueue queue) {
    this.mirrors = mirrors;
    this.channel = channel;
    this.layout = layout;
    this.handler = handler;
    this.size = queue.size();
    ByteOrder order = queue.bigEndian() ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    this.le16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(order);
    this.le32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(order);
    this.le64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(order);
  }

  /** There may be more buffers. Any thread. */
  void kicked() {
    kicked = true;
  }

  /** What is in the place of memory of the client, which must be in one piece. */
  final MemorySegment mirror(long address, long length) throws PeerFault {
    MemorySegment part = mirrors.map().at(address, length);
    if (part.byteSize() < length) {
      throw new PeerFault(FaultReason.CROSSES_REGION, address);
    }
    return part;
  }

  /** Makes the mirror of the rings what they are to a device that starts. */
  abstract void start() throws PeerFault;

  /**
   * Reads what is new in the ring from the client.
   *
   * @return whether there was anything
   */
  abstract boolean pull() throws PeerFault, DmaChannel.Busy;

  /** Writes what the device has used to the client. */
  abstract void push() throws PeerFault, DmaChannel.Busy;

  @Override
  public boolean poll() throws PeerFault {
    if (!started) {
      start();
      started = true;
    }
    boolean worked = false;
    if (kicked) {
      kicked = false;
      try {
        worked = pull();
      } catch (DmaChannel.Busy later) {
        kicked = true;
      }
    }
    return worked | handler.poll();
  }

  @Override
  public void available(DeviceQueue queue) throws PeerFault {
    handler.available(queue);
  }

  /** Only once the client has what was used: its driver would look, find nothing, and sleep. */
  @Override
  public boolean mayNotify() {
    long start = System.nanoTime();
    boolean done = flush();
    while (!done && System.nanoTime() - start < PATIENCE_NANOS) {
      Thread.onSpinWait();
      done = flush();
    }
    return done;
  }

  @Override
  public boolean arm() {
    return handler.arm() && !kicked;
  }

  @Override
  public void stopped() {
    mirrors.ended(this);
    handler.stopped();
  }

  // --- from the client -----------------------------------------------------------------------

  /** The buffer that is being read: what of it is writable, in order. */
  final class Buffer {
    private final List<Writable> writable = new ArrayList<>();
    private long readable;

    /** One element of it. */
    void add(long address, long length, boolean isWritable) throws PeerFault, DmaChannel.Busy {
      if (isWritable) {
        writable.add(new Writable(address, length));
        return;
      }
      readable += length;
      if (readable > MAX_READABLE) {
        throw new PeerFault(FaultReason.ADDRESS_OUTSIDE_MEMORY, address);
      }
      pullData(address, length);
    }

    /** Writes so many bytes of it to the client. */
    void push(long written) throws PeerFault, DmaChannel.Busy {
      long left = written;
      for (Writable part : writable) {
        long length = Math.min(left, part.length());
        for (long done = 0; done < length; ) {
          MemorySegment data = mirrors.map().at(part.address() + done, length - done);
          channel.write(part.address() + done, data);
          done += data.byteSize();
        }
        left -= length;
      }
    }
  }

  /**
   * Reads an indirect table.
   *
   * @return null for one that the device will not take
   */
  final MemorySegment table(long address, long length) throws PeerFault, DmaChannel.Busy {
    if (length == 0
        || length % DESC_SIZE != 0
        || length / DESC_SIZE > Math.max(size, MAX_INDIRECT)) {
      return null;
    }
    MemorySegment table = mirror(address, length);
    channel.read(address, table);
    return table;
  }

  private void pullData(long address, long length) throws PeerFault, DmaChannel.Busy {
    for (long done = 0; done < length; ) {
      MemorySegment part = mirrors.map().at(address + done, length - done);
      channel.read(address + done, part);
      done += part.byteSize();
    }
  }

  // --- to the client -------------------------------------------------------------------------

  private boolean flush() {
    if (dead || !started) {
      return true;
    }
    try {
      push();
      return true;
    } catch (DmaChannel.Busy later) {
      return false;
    } catch (PeerFault gone) {
      // Nobody can be told: the next read of the ring breaks the queue.
      LOG.log(Level.WARNING, "used buffers are lost: {0}", gone.getMessage());
      dead = true;
      kicked = true;
      return true;
    }
  }
}
