// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import static io.jvirtio.spec.PackedRing.DESC_SIZE;
import static io.jvirtio.spec.PackedRing.FLAGS;
import static io.jvirtio.spec.PackedRing.LEN;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DESC;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DISABLE;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_ENABLE;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_AVAIL;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_USED;
import static io.jvirtio.spec.PackedRing.VIRTQ_DESC_F_WRITE;
import static io.jvirtio.spec.PackedRing.WRAP;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.raw.RawMemory;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.trace.Trace;
import java.lang.invoke.VarHandle;

/**
 * The device side of a packed virtqueue (virtio 1.4, Packed Virtqueues). Owner thread only.
 *
 * <p>Positions and wrap counters live in Java fields. Used descriptors of a batch are written with
 * their flags, but for the batch's first one, whose flags are stored when the batch is published:
 * the driver looks at one descriptor at a time, in order, so it sees all of the batch or nothing.
 *
 * <p>Barrier pairs with the driver: [A] its release store of flags with our acquire load of them;
 * [B] our release store of the batch's first flags with its acquire load of them; [C] our store of
 * the Device Area, full fence, load of flags, with its store of flags, full fence, load of the
 * Device Area; [D] our store of flags, full fence, load of the Driver Area, with its store of the
 * Driver Area, full fence, load of flags.
 */
public final class PackedDeviceQueue extends DeviceQueue {
  private static final int ID_WORDS = 1 << 10;

  // In the second word of a descriptor.
  private static final long AVAIL = (long) VIRTQ_DESC_F_AVAIL << 48;
  private static final long USED = (long) VIRTQ_DESC_F_USED << 48;
  private static final long NEXT = (long) VIRTQ_DESC_F_NEXT << 48;
  private static final long WRITE = (long) VIRTQ_DESC_F_WRITE << 48;
  private static final long INDIRECT = (long) VIRTQ_DESC_F_INDIRECT << 48;
  private static final long MARKS = AVAIL | USED;
  private static final long MARKS_AND_NEXT = MARKS | NEXT;
  private static final long MARKS_AND_INDIRECT = MARKS | INDIRECT;

  // In the high half of that.
  private static final int HIGH_MARKS = (int) (MARKS >>> 32);
  private static final int HIGH_MARKS_AND_INDIRECT = (int) (MARKS_AND_INDIRECT >>> 32);
  private static final int HIGH_NEXT = (int) (NEXT >>> 32);
  private static final int HIGH_WRITE = (int) (WRITE >>> 32);

  private final long desc;
  private final long driverEvent;
  private final long deviceEvent;
  private final boolean indirectAllowed;
  private final boolean eventIdx;
  private final int maxChain;

  /** Buffer ids in flight, one bit each: any 16-bit number is an id. */
  private final long[] outstanding = new long[ID_WORDS];

  private int nextAvail;
  private long availMarks;
  private int nextUsed;
  private long usedMarks;

  /** Descriptors of all buffers popped and not yet used: never more than the queue size. */
  private int held;

  /** Descriptors used since the last publication; the first of them lacks its flags. */
  private int unpublished;

  private int firstUnpublished;
  private int firstFlags;
  private int regionHint;
  private GuestMemory guest;

  /** Where buffers lie. */
  private final NearRegion near;

  /** Where indirect tables lie, which may well be in another region. */
  private final NearRegion nearTable;

  PackedDeviceQueue(
      int index,
      QueueLayout layout,
      GuestMemory memory,
      Addresses addresses,
      boolean indirectAllowed,
      boolean eventIdx,
      boolean inOrder,
      QueueCounters counters) {
    super(index, layout.size(), false, inOrder, counters);
    this.guest = memory;
    this.near = new NearRegion(memory);
    this.nearTable = new NearRegion(memory);
    this.desc = addresses.descriptorArea();
    this.driverEvent = addresses.driverArea();
    this.deviceEvent = addresses.deviceArea();
    this.indirectAllowed = indirectAllowed;
    this.eventIdx = eventIdx;
    this.maxChain = Math.max(layout.size(), MAX_INDIRECT_CHAIN);
    this.nextAvail = layout.start() & (WRAP - 1);
    this.availMarks = (long) PackedRing.availableFlags((layout.start() & WRAP) != 0) << 48;
    // A queue is stopped only once all its buffers were used, so both go on at one place.
    this.nextUsed = nextAvail;
    this.usedMarks = (layout.start() & WRAP) != 0 ? MARKS : 0;
  }

  @Override
  public void growMemory(GuestMemory larger) {
    guest = larger;
    near.growMemory(larger);
    nearTable.growMemory(larger);
  }

  @Override
  boolean hasNext() throws PeerFault {
    if (!isAvailable()) {
      return false;
    }
    // It would overwrite what is in flight, or used and not published: a driver that confuses its
    // wrap counter, or one that never lets a batch end.
    if (held + unpublished >= size()) {
      throw new PeerFault(FaultReason.RING_OVERRUN, nextAvail);
    }
    return true;
  }

  private boolean isAvailable() {
    long slot = desc + (long) DESC_SIZE * nextAvail;
    return (RawMemory.getLongAcquire(slot + LEN) & MARKS) == availMarks; // pair [A]
  }

  private boolean availWrap() {
    return (availMarks & AVAIL) != 0;
  }

  private boolean usedWrap() {
    return usedMarks != 0;
  }

  @Override
  void fill(DescriptorChain chain) throws PeerFault {
    if (!readUsual(chain)) {
      chain.begin(0);
      walk(chain);
    }
    chain.end();
    int id = chain.head();
    if ((outstanding[id >>> 6] >>> id & 1) != 0) {
      throw new PeerFault(FaultReason.HEAD_IN_FLIGHT, id);
    }
    outstanding[id >>> 6] |= 1L << id;
    int count = chain.descriptors();
    held += count;
    nextAvail += count;
    if (nextAvail >= size()) {
      nextAvail -= size();
      availMarks ^= MARKS;
    }
  }

  /**
   * Reads the chain when it is a usual one: descriptors of the ring, or one indirect table, with
   * nothing out of the ordinary. It knows no fault: whatever it does not know, good or bad, is left
   * to {@link #walk}, which begins again, and for which nothing of this reading counts.
   *
   * @return false, and the chain is not set, when it is not a usual one
   */
  private boolean readUsual(DescriptorChain chain) {
    long slot = desc + (long) DESC_SIZE * nextAvail;
    long address = RawMemory.getLong(slot);
    long word = RawMemory.getSecondLong(slot);
    if ((word & INDIRECT) == 0) {
      return followRing(chain, address, word);
    }
    long bytes = word & 0xffff_ffffL;
    if (!indirectAllowed
        || (word & MARKS_AND_NEXT) != availMarks
        || bytes == 0
        || bytes % DESC_SIZE != 0
        || bytes / DESC_SIZE > maxChain
        || !nearTable.reaches(address, bytes)) {
      return false;
    }
    int id = (int) (word >>> 32) & 0xffff;
    return readTable(chain, id, nearTable.hostAddress(address), (int) (bytes / DESC_SIZE));
  }

  /**
   * Follows a usual chain of the ring from its first descriptor, which was read already; each of
   * them makes one segment. What it finds is in locals, so that the JIT keeps it in registers.
   */
  private boolean followRing(DescriptorChain chain, long first, long firstWord) {
    long[] segments = chain.room();
    int most = Math.min(2 * (size() - held - unpublished), segments.length);
    int stop = Math.min(most, 2 * (size() - nextAvail));
    long slot = desc + (long) DESC_SIZE * nextAvail;
    int expected = (int) (availMarks >>> 32);
    long address = first;
    int high = (int) (firstWord >>> 32);
    long bytes = firstWord & 0xffff_ffffL;
    int end = 0;
    int readableEnd = 0;
    long readable = 0;
    long total = 0;
    while (true) {
      // One mask finds an empty descriptor as well as one of more than 1 GiB.
      if ((high & HIGH_MARKS_AND_INDIRECT) != expected
          || ((int) bytes - 1 & 0xc000_0000) != 0
          || !near.reaches(address, bytes)) {
        return false;
      }
      segments[end] = near.hostAddress(address);
      segments[end + 1] = bytes;
      end += 2;
      if ((high & HIGH_WRITE) == 0) {
        if (readable != total) {
          return false;
        }
        readable += bytes;
        readableEnd = end;
      }
      total += bytes;
      if ((high & HIGH_NEXT) == 0) {
        break;
      }
      slot += DESC_SIZE;
      if (end == stop) {
        if (end == most) {
          return false;
        }
        stop = most;
        slot = desc;
        expected ^= HIGH_MARKS;
      }
      address = RawMemory.getLong(slot);
      long word = RawMemory.getSecondLong(slot);
      high = (int) (word >>> 32);
      bytes = word & 0xffff_ffffL;
    }
    if (total > DescriptorChain.MAX_BYTES) {
      return false;
    }
    chain.identify(high & 0xffff, end >> 1);
    chain.set(chain.head(), end >> 1, readableEnd >> 1, readable, total - readable);
    return true;
  }

  /** The same for an indirect table, whose descriptors lie one behind the other. */
  private boolean readTable(DescriptorChain chain, int id, long table, int entries) {
    long[] segments = chain.room();
    if (entries > segments.length >> 1) {
      return false;
    }
    int readableCount = 0;
    long readable = 0;
    long writable = 0;
    for (int i = 0; i < entries; i++) {
      long slot = table + (long) DESC_SIZE * i;
      long address = RawMemory.getLongUnaligned(slot);
      long word = RawMemory.getLongUnaligned(slot + LEN);
      long bytes = word & 0xffff_ffffL;
      if ((bytes - 1) >>> 30 != 0 || !near.reaches(address, bytes)) {
        return false;
      }
      segments[2 * i] = near.hostAddress(address);
      segments[2 * i + 1] = bytes;
      if ((word & WRITE) != 0) {
        writable += bytes;
      } else if (writable == 0) {
        readable += bytes;
        readableCount = i + 1;
      } else {
        return false;
      }
    }
    if (readable + writable > DescriptorChain.MAX_BYTES) {
      return false;
    }
    chain.identify(id, 1);
    chain.set(id, entries, readableCount, readable, writable);
    return true;
  }

  /** Follows any chain by every rule; each descriptor is read once, as two words. */
  private void walk(DescriptorChain chain) throws PeerFault {
    int position = nextAvail;
    boolean wrap = availWrap();
    int count = 0;
    long word;
    int flags;
    do {
      if (held + unpublished + count >= size()) {
        throw new PeerFault(FaultReason.CHAIN_TOO_LONG, nextAvail);
      }
      long slot = desc + (long) DESC_SIZE * position;
      long address = RawMemory.getLong(slot);
      word = RawMemory.getLong(slot + LEN);
      flags = (int) (word >>> 48);
      // The first was loaded with acquire, and all of a list was written before it.
      if (!PackedRing.isAvailable(flags, wrap)) {
        throw new PeerFault(FaultReason.DESCRIPTOR_NOT_AVAILABLE, position);
      }
      if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
        if (count != 0 || (flags & VIRTQ_DESC_F_NEXT) != 0) {
          throw new PeerFault(FaultReason.INDIRECT_WITH_NEXT, position);
        }
        walkIndirect(chain, address, word & 0xffff_ffffL);
      } else {
        take(chain, address, word & 0xffff_ffffL, flags);
      }
      count++;
      if (++position == size()) {
        position = 0;
        wrap = !wrap;
      }
    } while ((flags & VIRTQ_DESC_F_NEXT) != 0);
    chain.identify((int) (word >>> 32) & 0xffff, count);
  }

  private void walkIndirect(DescriptorChain chain, long table, long bytes) throws PeerFault {
    if (!indirectAllowed) {
      throw new PeerFault(FaultReason.INDIRECT_NOT_NEGOTIATED, table);
    }
    if (bytes == 0 || bytes % DESC_SIZE != 0) {
      throw new PeerFault(FaultReason.INDIRECT_LENGTH, bytes);
    }
    GuestMemory.checkRange(table, bytes);
    long entries = bytes / DESC_SIZE;
    if (entries > maxChain) {
      throw new PeerFault(FaultReason.CHAIN_TOO_LONG, table);
    }
    // The descriptors lie one behind the other, and WRITE is the only flag that counts.
    for (int i = 0; i < entries; i++) {
      long slot = table + (long) DESC_SIZE * i;
      long address = load(slot);
      long word = load(slot + LEN);
      take(chain, address, word & 0xffff_ffffL, (int) (word >>> 48));
    }
  }

  private long load(long address) throws PeerFault {
    regionHint = guest.regionOf(address, regionHint);
    return guest.loadLong(address, regionHint);
  }

  private void take(DescriptorChain chain, long address, long bytes, int flags) throws PeerFault {
    boolean writable = (flags & VIRTQ_DESC_F_WRITE) != 0;
    if (writable) {
      chain.markWritable();
    } else if (chain.hasWritable()) {
      throw new PeerFault(FaultReason.WRITABLE_BEFORE_READABLE, address);
    }
    if (bytes != 0) {
      regionHint = guest.regionOf(address, regionHint);
      chain.add(guest, address, bytes, writable, regionHint);
    }
  }

  @Override
  void retire(DescriptorChain chain) {
    int id = chain.head();
    outstanding[id >>> 6] &= ~(1L << id);
    held -= chain.descriptors();
  }

  @Override
  void complete(int id, int written, int buffers, int descriptors) {
    long slot = desc + (long) DESC_SIZE * nextUsed;
    long word = usedMarks | (long) id << 32 | Integer.toUnsignedLong(written);
    if (written != 0) {
      word |= WRITE;
    }
    if (unpublished == 0) {
      firstUnpublished = nextUsed;
      firstFlags = (int) (word >>> 48);
      word ^= USED; // to the driver as it was: not used
    }
    RawMemory.putLong(slot + LEN, word);
    unpublished += descriptors;
    nextUsed += descriptors;
    if (nextUsed >= size()) {
      nextUsed -= size();
      usedMarks ^= MARKS;
    }
  }

  @Override
  boolean hasUnpublishedUsed() {
    return unpublished != 0;
  }

  @Override
  boolean publishUsed() {
    if (unpublished == 0) {
      return false;
    }
    int count = unpublished;
    unpublished = 0;
    long first = desc + (long) DESC_SIZE * firstUnpublished;
    RawMemory.putShortRelease(first + FLAGS, firstFlags); // pair [B]
    VarHandle.fullFence(); // pair [D]
    int event = RawMemory.getInt(driverEvent);
    boolean due = PackedRing.needEvent(event, nextUsed, usedWrap(), count, size(), eventIdx);
    if (due) {
      counters().notificationsSent++;
    } else {
      counters().notificationsSuppressed++;
    }
    Trace.notification(index(), count, due);
    return due;
  }

  @Override
  public boolean enableNotifications() {
    int flags = eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
    RawMemory.putInt(deviceEvent, flags << 16 | nextAvail | (availWrap() ? WRAP : 0));
    VarHandle.fullFence(); // pair [C]
    return !isAvailable();
  }

  @Override
  public void disableNotifications() {
    RawMemory.putInt(deviceEvent, RING_EVENT_FLAGS_DISABLE << 16);
  }

  @Override
  public int nextIndex() {
    return nextAvail | (availWrap() ? WRAP : 0);
  }
}
