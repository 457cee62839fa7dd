// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A split queue whose rings and buffers are in memory of the client that is not mapped. The device
 * works in a mirror. Before it looks, new buffers are read from the client with their descriptors
 * and what is readable of them; what was written and the used ring are written to the client before
 * the device's host gets to notify.
 *
 * <p>The device's own notifications never leave the mirror, so that the driver always notifies, and
 * the driver's suppression never gets there, so that the device always does. Owner only, except
 * {@link #kicked}.
 */
final class MirroredQueue implements QueueHandler {
  private static final Logger LOG = System.getLogger(MirroredQueue.class.getName());

  /** The most that is read for one buffer, so that no driver keeps a worker forever. */
  private static final long MAX_READABLE = 64 << 20;

  private static final int MAX_INDIRECT = 1024;

  /** In the used ring of the mirror: the device has put nothing there since. */
  private static final int NONE = -1;

  /** How long the control thread may be away before its wait is taken for one for this queue. */
  private static final long PATIENCE_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  private record Writable(long address, long length) {}

  private final Mirrors mirrors;
  private final DmaChannel channel;
  private final QueueLayout layout;
  private final QueueHandler handler;
  private final QueueOwner owner;
  private final boolean eventIdx;
  private final int size;
  private final ValueLayout.OfShort le16;
  private final ValueLayout.OfInt le32;
  private final ValueLayout.OfLong le64;
  private final MemorySegment scratch = Arena.ofAuto().allocate(8, 8);
  private final List<List<Writable>> writables = new ArrayList<>();
  private final Deque<Runnable> owed = new ArrayDeque<>();
  private volatile boolean kicked = true;
  private boolean started;
  private boolean dead;

  /** Free-running: what was read, what was written, and what the client knows of either. */
  private int pulled;

  private int flushed;
  private int told;
  private int askedFor = -1;

  MirroredQueue(
      Mirrors mirrors,
      DmaChannel channel,
      QueueLayout layout,
      FeatureBits features,
      QueueHandler handler,
      DeviceQueue queue,
      QueueOwner owner) {
    this.mirrors = mirrors;
    this.channel = channel;
    this.layout = layout;
    this.handler = handler;
    this.owner = owner;
    this.eventIdx = features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    this.size = queue.size();
    ByteOrder order = queue.bigEndian() ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    this.le16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(order);
    this.le32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(order);
    this.le64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(order);
    for (int i = 0; i < size; i++) {
      writables.add(List.of());
    }
    pulled = queue.nextIndex();
    flushed = pulled;
    told = pulled;
  }

  /** There may be more buffers. Any thread. */
  void kicked() {
    kicked = true;
  }

  boolean isOwner() {
    return owner.isOwner();
  }

  private static MemorySegment mirror(MirrorMap map, long address, long length) throws PeerFault {
    MemorySegment part = map.at(address, length);
    if (part.byteSize() < length) {
      throw new PeerFault(FaultReason.CROSSES_REGION, address);
    }
    return part;
  }

  private MemorySegment availableRing() throws PeerFault {
    return mirror(mirrors.map(), layout.driverArea(), SplitRing.availSize(size));
  }

  private MemorySegment usedRing() throws PeerFault {
    return mirror(mirrors.map(), layout.deviceArea(), SplitRing.usedSize(size));
  }

  /** Makes the mirror of the rings what they are to a device that starts. */
  private void start() throws PeerFault {
    MemorySegment available = availableRing();
    available.set(le16, SplitRing.FLAGS, (short) 0);
    available.set(le16, SplitRing.IDX, (short) pulled);
    MemorySegment used = usedRing();
    used.set(le16, SplitRing.IDX, (short) flushed);
    for (int slot = 0; slot < size; slot++) {
      used.set(le32, SplitRing.RING + 8L * slot, NONE);
    }
    started = true;
  }

  @Override
  public boolean poll() throws PeerFault {
    if (!started) {
      start();
    }
    if (!owed.isEmpty() && flush()) {
      payOwed();
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
    worked |= handler.poll();
    carryOver();
    return worked;
  }

  @Override
  public void available(DeviceQueue queue) throws PeerFault {
    handler.available(queue);
    carryOver();
  }

  /** Writes what was pushed to the client, so that it is there when the host notifies. */
  private void carryOver() {
    long start = System.nanoTime();
    while (!flush() && System.nanoTime() - start < PATIENCE_NANOS) {
      Thread.onSpinWait();
    }
  }

  private void payOwed() {
    while (!owed.isEmpty()) {
      owed.remove().run();
    }
  }

  @Override
  public boolean arm() {
    return handler.arm() && !kicked && owed.isEmpty();
  }

  @Override
  public void stopped() {
    mirrors.ended(this);
    if (!owed.isEmpty()) {
      LOG.log(Level.DEBUG, "queue stopped before the client knows all that was used");
    }
    handler.stopped();
  }

  // --- from the client -----------------------------------------------------------------------

  private boolean pull() throws PeerFault, DmaChannel.Busy {
    boolean any = false;
    while (true) {
      channel.read(layout.driverArea() + SplitRing.IDX, scratch.asSlice(0, 2));
      int index = scratch.get(le16, 0) & 0xffff;
      int fresh = index - pulled & 0xffff;
      if (fresh == 0) {
        if (!eventIdx || askedFor == pulled) {
          return any;
        }
        scratch.set(le16, 0, (short) pulled);
        long event = layout.deviceArea() + SplitRing.RING + 8L * size;
        channel.write(event, scratch.asSlice(0, 2));
        askedFor = pulled;
        continue; // the driver may have looked before
      }
      MemorySegment available = availableRing();
      if (fresh <= size) { // else the device finds the fault
        channel.read(layout.driverArea() + SplitRing.RING, available.asSlice(4, 2L * size));
        MemorySegment table =
            mirror(mirrors.map(), layout.descriptorArea(), SplitRing.descSize(size));
        channel.read(layout.descriptorArea(), table);
        for (int i = 0; i < fresh; i++) {
          int slot = pulled + i & size - 1;
          int head = available.get(le16, SplitRing.RING + 2L * slot) & 0xffff;
          if (head < size) {
            pullChain(table, head);
          }
        }
      }
      available.set(le16, SplitRing.IDX, (short) index);
      pulled = index;
      any = true;
    }
  }

  private void pullChain(MemorySegment table, int head) throws PeerFault, DmaChannel.Busy {
    List<Writable> writable = new ArrayList<>();
    long readable = 0;
    MemorySegment descriptors = table;
    int count = size;
    int at = head;
    for (int steps = 0; steps < count && at < count; steps++) {
      long address = descriptors.get(le64, 16L * at);
      long length = descriptors.get(le32, 16L * at + 8) & 0xffff_ffffL;
      int flags = descriptors.get(le16, 16L * at + 12);
      int next = descriptors.get(le16, 16L * at + 14) & 0xffff;
      if ((flags & SplitRing.VIRTQ_DESC_F_INDIRECT) != 0) {
        if (descriptors != table || length % 16 != 0 || length > 16 * MAX_INDIRECT) {
          break; // the device finds the fault
        }
        descriptors = mirror(mirrors.map(), address, length);
        channel.read(address, descriptors);
        count = (int) (length / 16);
        at = 0;
        steps = -1;
        continue;
      }
      if ((flags & SplitRing.VIRTQ_DESC_F_WRITE) != 0) {
        writable.add(new Writable(address, length));
      } else {
        readable += length;
        if (readable > MAX_READABLE) {
          throw new PeerFault(FaultReason.ADDRESS_OUTSIDE_MEMORY, address);
        }
        pullData(address, length);
      }
      if ((flags & SplitRing.VIRTQ_DESC_F_NEXT) == 0) {
        break;
      }
      at = next;
    }
    writables.set(head, writable);
  }

  private void pullData(long address, long length) throws PeerFault, DmaChannel.Busy {
    for (long done = 0; done < length; ) {
      MemorySegment part = mirrors.map().at(address + done, length - done);
      channel.read(address + done, part);
      done += part.byteSize();
    }
  }

  // --- to the client -------------------------------------------------------------------------

  /**
   * Writes what was used to the client, before an interrupt that tells of it.
   *
   * @return whether it is there; else the interrupt is run once it is
   */
  boolean flushBefore(Runnable interrupt) {
    if (flush()) {
      return true;
    }
    owed.add(interrupt);
    return false;
  }

  private boolean flush() {
    if (dead || !started) {
      return true;
    }
    try {
      MemorySegment used = usedRing();
      while (true) {
        long at = SplitRing.RING + 8L * (flushed & size - 1);
        int id = used.get(le32, at);
        if (id == NONE) {
          break;
        }
        long written = used.get(le32, at + 4) & 0xffff_ffffL;
        flushData(writables.get(id), written);
        channel.write(layout.deviceArea() + at, used.asSlice(at, 8));
        used.set(le32, at, NONE);
        flushed = flushed + 1 & 0xffff;
      }
      if (told != flushed) {
        scratch.set(le16, 0, (short) flushed);
        channel.write(layout.deviceArea() + SplitRing.IDX, scratch.asSlice(0, 2));
        told = flushed;
        if (eventIdx) { // the next that the device publishes
          short published = used.get(le16, SplitRing.IDX);
          availableRing().set(le16, SplitRing.RING + 2L * size, published);
        }
      }
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

  private void flushData(List<Writable> parts, long written) throws PeerFault, DmaChannel.Busy {
    long left = written;
    for (Writable part : parts) {
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
