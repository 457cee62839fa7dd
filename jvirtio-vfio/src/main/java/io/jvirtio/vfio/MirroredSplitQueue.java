// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.SplitRing;
import java.lang.foreign.MemorySegment;

/** A {@link MirroredQueue} that is split (virtio 1.4, Split Virtqueues). */
final class MirroredSplitQueue extends MirroredQueue {
  /** In the used ring of the mirror: the device has put nothing there since. */
  private static final int NONE = -1;

  private final boolean eventIdx;

  /** By head; null where there was none yet. */
  private final Buffer[] buffers;

  /** Free-running: what was read, what was written, and what the client knows of either. */
  private int pulled;

  private int flushed;
  private int told;
  private int askedFor = -1;

  MirroredSplitQueue(
      Mirrors mirrors,
      DmaChannel channel,
      QueueLayout layout,
      boolean eventIdx,
      QueueHandler handler,
      DeviceQueue queue) {
    super(mirrors, channel, layout, handler, queue);
    this.eventIdx = eventIdx;
    this.buffers = new Buffer[size];
    pulled = queue.nextIndex();
    flushed = pulled;
    told = pulled;
  }

  private MemorySegment availableRing() throws PeerFault {
    return mirror(layout.driverArea(), SplitRing.availSize(size));
  }

  private MemorySegment usedRing() throws PeerFault {
    return mirror(layout.deviceArea(), SplitRing.usedSize(size));
  }

  @Override
  void start() throws PeerFault {
    MemorySegment available = availableRing();
    available.set(le16, SplitRing.FLAGS, (short) 0);
    available.set(le16, SplitRing.IDX, (short) pulled);
    if (eventIdx) { // the first that the device publishes
      available.set(le16, SplitRing.RING + 2L * size, (short) flushed);
    }
    MemorySegment used = usedRing();
    used.set(le16, SplitRing.IDX, (short) flushed);
    for (int slot = 0; slot < size; slot++) {
      used.set(le32, SplitRing.RING + 8L * slot, NONE);
    }
  }

  @Override
  boolean pull() throws PeerFault, DmaChannel.Busy {
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
        MemorySegment table = mirror(layout.descriptorArea(), SplitRing.descSize(size));
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
    Buffer buffer = new Buffer();
    MemorySegment descriptors = table;
    int count = size;
    int at = head;
    for (int steps = 0; steps < count && at < count; steps++) {
      long address = descriptors.get(le64, 16L * at);
      long length = descriptors.get(le32, 16L * at + 8) & 0xffff_ffffL;
      int flags = descriptors.get(le16, 16L * at + 12);
      int next = descriptors.get(le16, 16L * at + 14) & 0xffff;
      if ((flags & SplitRing.VIRTQ_DESC_F_INDIRECT) != 0) {
        MemorySegment indirect = descriptors == table ? table(address, length) : null;
        if (indirect == null) {
          break; // the device finds the fault
        }
        descriptors = indirect;
        count = (int) (length / 16);
        at = 0;
        steps = -1;
        continue;
      }
      buffer.add(address, length, (flags & SplitRing.VIRTQ_DESC_F_WRITE) != 0);
      if ((flags & SplitRing.VIRTQ_DESC_F_NEXT) == 0) {
        break;
      }
      at = next;
    }
    buffers[head] = buffer;
  }

  @Override
  void push() throws PeerFault, DmaChannel.Busy {
    MemorySegment used = usedRing();
    while (true) {
      long at = SplitRing.RING + 8L * (flushed & size - 1);
      int id = used.get(le32, at);
      if (id == NONE) {
        break;
      }
      if (id < 0 || id >= size || buffers[id] == null) { // a buffer of the driver lies here
        throw new PeerFault(FaultReason.USED_ID_OUT_OF_RANGE, id);
      }
      buffers[id].push(used.get(le32, at + 4) & 0xffff_ffffL);
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
  }
}
