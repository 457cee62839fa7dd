// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static io.jvirtio.spec.PackedRing.DESC_SIZE;
import static io.jvirtio.spec.PackedRing.EVENT_SIZE;
import static io.jvirtio.spec.PackedRing.FLAGS;
import static io.jvirtio.spec.PackedRing.ID;
import static io.jvirtio.spec.PackedRing.LEN;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_WRITE;
import static io.jvirtio.spec.PackedRing.WRAP;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.PackedRing;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/**
 * A {@link MirroredQueue} that is packed (virtio 1.4, Packed Virtqueues). The driver notifies
 * always, because the Device Area that it sees says so.
 */
final class MirroredPackedQueue extends MirroredQueue {
  private record Pulled(Buffer buffer, int descriptors) {}

  /** By buffer id, which may be any 16-bit number. */
  private final Map<Integer, Pulled> pulled = new HashMap<>();

  /** The ring as the client had it: what says which buffers are there, and then these. */
  private final MemorySegment before;

  private final MemorySegment now;
  private int position;
  private boolean wrap;
  private int usedPosition;
  private boolean usedWrap;

  /** Descriptors between both, of which there are never more than the ring has. */
  private int inFlight;

  private boolean asked;

  /** A used descriptor was sent, but its arrival was not waited for: it must not be sent again. */
  private boolean underway;

  MirroredPackedQueue(
      Mirrors mirrors,
      DmaChannel channel,
      QueueLayout layout,
      QueueHandler handler,
      DeviceQueue queue) {
    super(mirrors, channel, layout, handler, queue);
    before = Arena.ofAuto().allocate(PackedRing.descSize(size), DESC_SIZE);
    now = Arena.ofAuto().allocate(PackedRing.descSize(size), DESC_SIZE);
    position = queue.nextIndex() & WRAP - 1;
    wrap = (queue.nextIndex() & WRAP) != 0;
    usedPosition = position;
    usedWrap = wrap;
  }

  private MemorySegment ring() throws PeerFault {
    return mirror(layout.descriptorArea(), PackedRing.descSize(size));
  }

  private int flags(MemorySegment ring, int at) {
    return ring.get(le16, (long) DESC_SIZE * at + FLAGS) & 0xffff;
  }

  @Override
  void start() throws PeerFault {
    MemorySegment ring = ring();
    for (int at = 0; at < size; at++) {
      boolean lap = at < position ? wrap : !wrap;
      ring.set(le16, (long) DESC_SIZE * at + FLAGS, (short) PackedRing.usedFlags(lap));
    }
    mirror(layout.driverArea(), EVENT_SIZE).set(le32, 0, PackedRing.RING_EVENT_FLAGS_ENABLE << 16);
  }

  @Override
  boolean pull() throws PeerFault, DmaChannel.Busy {
    if (!asked) {
      scratch.set(le32, 0, PackedRing.RING_EVENT_FLAGS_ENABLE << 16);
      channel.write(layout.deviceArea(), scratch.asSlice(0, EVENT_SIZE));
      asked = true;
    }
    boolean any = false;
    while (true) {
      channel.read(layout.descriptorArea(), before);
      if (!PackedRing.isAvailable(flags(before, position), wrap)) {
        return any;
      }
      // What makes a list available is written last, and may be read first.
      channel.read(layout.descriptorArea(), now);
      while (PackedRing.isAvailable(flags(before, position), wrap)) {
        pullChain();
      }
      any = true;
    }
  }

  /** Reads the buffer at the position, and shows it to the device. */
  private void pullChain() throws PeerFault, DmaChannel.Busy {
    Buffer buffer = new Buffer();
    int at = position;
    boolean lap = wrap;
    int count = 0;
    int flags;
    int id;
    do {
      if (inFlight + count >= size) {
        throw new PeerFault(FaultReason.RING_OVERRUN, at);
      }
      long slot = (long) DESC_SIZE * at;
      long address = now.get(le64, slot);
      long length = now.get(le32, slot + LEN) & 0xffff_ffffL;
      id = now.get(le16, slot + ID) & 0xffff;
      flags = flags(now, at);
      if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
        pullTable(buffer, address, length);
      } else {
        buffer.add(address, length, (flags & VIRTQ_DESC_F_WRITE) != 0);
      }
      count++;
      if (++at == size) {
        at = 0;
        lap = !lap;
      }
    } while ((flags & VIRTQ_DESC_F_NEXT) != 0);
    MemorySegment ring = ring();
    for (int i = 0; i < count; i++) {
      long slot = (long) DESC_SIZE * ((position + i) % size);
      MemorySegment.copy(now, slot, ring, slot, DESC_SIZE);
    }
    pulled.put(id, new Pulled(buffer, count));
    inFlight += count;
    position = at;
    wrap = lap;
  }

  private void pullTable(Buffer buffer, long address, long length)
      throws PeerFault, DmaChannel.Busy {
    MemorySegment table = table(address, length);
    if (table == null) {
      return; // the device finds the fault
    }
    for (long entry = 0; entry < length; entry += DESC_SIZE) {
      boolean writable = (table.get(le16, entry + FLAGS) & VIRTQ_DESC_F_WRITE) != 0;
      long bytes = table.get(le32, entry + LEN) & 0xffff_ffffL;
      buffer.add(table.get(le64, entry), bytes, writable);
    }
  }

  @Override
  void push() throws PeerFault, DmaChannel.Busy {
    if (underway) { // what was sent before is done once this is answered
      channel.read(layout.descriptorArea(), scratch.asSlice(0, 1));
      underway = false;
    }
    MemorySegment ring = ring();
    while (PackedRing.isUsed(flags(ring, usedPosition), usedWrap)) {
      long slot = (long) DESC_SIZE * usedPosition;
      int id = ring.get(le16, slot + ID) & 0xffff;
      Pulled used = pulled.get(id);
      if (used == null) { // a buffer of the driver lies here
        throw new PeerFault(FaultReason.USED_ID_NOT_AVAILABLE, id);
      }
      used.buffer().push(ring.get(le32, slot + LEN) & 0xffff_ffffL);
      long guest = layout.descriptorArea() + slot;
      channel.write(guest + LEN, ring.asSlice(slot + LEN, FLAGS - LEN));
      // The driver may use this descriptor again as soon as it sees its flags.
      underway = !channel.writeOnce(guest + FLAGS, ring.asSlice(slot + FLAGS, 2));
      pulled.remove(id);
      inFlight -= used.descriptors();
      usedPosition += used.descriptors();
      if (usedPosition >= size) {
        usedPosition -= size;
        usedWrap = !usedWrap;
      }
      if (underway) {
        throw DmaChannel.Busy.INSTANCE;
      }
    }
  }
}
