// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import static io.jvirtio.spec.SplitRing.AVAIL_ENTRY_SIZE;
import static io.jvirtio.spec.SplitRing.DESC_SIZE;
import static io.jvirtio.spec.SplitRing.FLAGS;
import static io.jvirtio.spec.SplitRing.IDX;
import static io.jvirtio.spec.SplitRing.RING;
import static io.jvirtio.spec.SplitRing.USED_ENTRY_SIZE;
import static io.jvirtio.spec.SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;
import static io.jvirtio.spec.SplitRing.VIRTQ_USED_F_NO_NOTIFY;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.raw.RawMemory;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.trace.Trace;
import java.lang.invoke.VarHandle;

/**
 * The device side of a split virtqueue (virtio 1.4, Split Virtqueues).
 *
 * <p>The own indexes live in Java fields and are never read back from shared memory; the driver's
 * index is loaded once a batch. Owner thread only.
 *
 * <p>Barrier pairs with the driver: [A] its release store of the available idx with our acquire
 * load of it; [B] our release store of the used idx with its acquire load; [C] our store of
 * avail_event (or flags), full fence, load of the available idx, with its store of the available
 * idx, full fence, load of avail_event; [D] our store of the used idx, full fence, load of
 * used_event, with its store of used_event, full fence, load of the used idx.
 */
public final class SplitDeviceQueue extends DeviceQueue {
  private final long desc;
  private final long avail;
  private final long used;
  private final int mask;
  private final boolean indirectAllowed;
  private final boolean eventIdx;
  private final boolean swap;
  private final int maxChain;
  private final boolean[] outstanding;
  private GuestMemory guest;

  /** Free-running: the next entry of the available ring to take. */
  private int nextAvail;

  /** Free-running: the driver's idx as last loaded. */
  private int availIdx;

  /** Free-running: where the next used entry goes. */
  private int nextUsed;

  /** Free-running: the used idx as the driver sees it. */
  private int publishedUsed;

  private int regionHint;

  /** Where buffers lie. */
  private final NearRegion near;

  /** Where indirect tables lie, which may well be in another region. */
  private final NearRegion nearTable;

  SplitDeviceQueue(
      int index,
      QueueLayout layout,
      GuestMemory memory,
      Addresses addresses,
      boolean indirectAllowed,
      boolean eventIdx,
      boolean inOrder,
      boolean bigEndian,
      QueueCounters counters) {
    super(index, layout.size(), bigEndian, inOrder, counters);
    this.guest = memory;
    this.near = new NearRegion(memory);
    this.nearTable = new NearRegion(memory);
    this.desc = addresses.descriptorArea();
    this.avail = addresses.driverArea();
    this.used = addresses.deviceArea();
    this.mask = layout.size() - 1;
    this.indirectAllowed = indirectAllowed;
    this.eventIdx = eventIdx;
    this.swap = bigEndian;
    this.maxChain = Math.max(layout.size(), MAX_INDIRECT_CHAIN);
    this.outstanding = new boolean[layout.size()];
    // A queue is stopped only once all its buffers were used, so both rings go on at one index.
    this.nextAvail = layout.start() & 0xffff;
    this.availIdx = nextAvail;
    this.nextUsed = nextAvail;
    this.publishedUsed = nextAvail;
  }

  @Override
  public void growMemory(GuestMemory larger) {
    guest = larger;
    near.growMemory(larger);
    nearTable.growMemory(larger);
  }

  @Override
  boolean hasNext() throws PeerFault {
    if (nextAvail != availIdx) {
      return true;
    }
    int idx = order16(RawMemory.getShortAcquire(avail + IDX)); // pair [A]
    // A driver has at most queue size buffers out. Those in flight count as well, and those that
    // are used and not published: else a driver could see to it that a batch never ends.
    int fresh = (idx - nextAvail) & 0xffff;
    if (fresh + inFlight() + ((nextUsed - publishedUsed) & 0xffff) > size()) {
      throw new PeerFault(FaultReason.AVAIL_IDX_JUMP, idx);
    }
    availIdx = idx;
    return fresh != 0;
  }

  @Override
  void fill(DescriptorChain chain) throws PeerFault {
    long entry = avail + RING + (long) AVAIL_ENTRY_SIZE * (nextAvail & mask);
    int head = order16(RawMemory.getShort(entry));
    if (head >= size()) {
      throw new PeerFault(FaultReason.HEAD_OUT_OF_RANGE, head);
    }
    if (outstanding[head]) {
      throw new PeerFault(FaultReason.HEAD_IN_FLIGHT, head);
    }
    if (!readUsual(chain, head)) {
      chain.begin(head);
      walk(chain, head);
    }
    chain.end();
    outstanding[head] = true;
    nextAvail = (nextAvail + 1) & 0xffff;
  }

  /**
   * Reads the chain when it is a usual one: descriptors in the table, or one indirect table, with
   * nothing out of the ordinary. It knows no fault: whatever it does not know, good or bad, is left
   * to {@link #walk}, which begins again, and for which nothing of this reading counts.
   *
   * @return false, and the chain is not set, when it is not a usual one
   */
  private boolean readUsual(DescriptorChain chain, int head) {
    if (swap) {
      return false;
    }
    long slot = desc + (long) DESC_SIZE * head;
    long address = RawMemory.getLong(slot);
    long word = RawMemory.getSecondLong(slot);
    long table = desc;
    long tableBytes = (long) DESC_SIZE * size();
    if ((flags(word) & VIRTQ_DESC_F_INDIRECT) != 0) {
      long bytes = length(word);
      if (!indirectAllowed
          || (flags(word) & VIRTQ_DESC_F_NEXT) != 0
          || bytes == 0
          || bytes % DESC_SIZE != 0
          || !nearTable.reaches(address, bytes)) {
        return false;
      }
      table = nearTable.hostAddress(address);
      tableBytes = bytes;
      address = RawMemory.getLongUnaligned(table);
      word = RawMemory.getLongUnaligned(table, 8);
    }
    return followUsual(chain, head, table, tableBytes, address, word);
  }

  /**
   * Follows a usual chain from its first descriptor, which was read already; each of them makes one
   * segment. What it finds is in locals, so that the JIT keeps it in registers.
   */
  private boolean followUsual(
      DescriptorChain chain, int head, long table, long tableBytes, long first, long firstWord) {
    long[] segments = chain.room();
    int most = Math.min(2 * size(), segments.length);
    long address = first;
    int high = (int) (firstWord >>> 32);
    long bytes = firstWord & 0xffff_ffffL;
    int end = 0;
    int readableEnd = 0;
    long readable = 0;
    long total = 0;
    while (true) {
      // One mask finds an empty descriptor as well as one of more than 1 GiB.
      if (end == most
          || (high & VIRTQ_DESC_F_INDIRECT) != 0
          || ((int) bytes - 1 & 0xc000_0000) != 0
          || !near.reaches(address, bytes)) {
        return false;
      }
      segments[end] = near.hostAddress(address);
      segments[end + 1] = bytes;
      end += 2;
      if ((high & VIRTQ_DESC_F_WRITE) == 0) {
        if (readable != total) {
          return false;
        }
        readable += bytes;
        readableEnd = end;
      }
      total += bytes;
      if ((high & VIRTQ_DESC_F_NEXT) == 0) {
        break;
      }
      // The next descriptor's offset, from where its index is in the word: few steps, because each
      // load waits for them.
      int offset = high >>> 12 & 0xf_fff0;
      if (offset >= tableBytes) {
        return false;
      }
      address = RawMemory.getLongUnaligned(table, offset);
      long word = RawMemory.getLongUnaligned(table, offset + 8);
      high = (int) (word >>> 32);
      bytes = word & 0xffff_ffffL;
    }
    if (total > DescriptorChain.MAX_BYTES) {
      return false;
    }
    chain.set(head, end >> 1, readableEnd >> 1, readable, total - readable);
    return true;
  }

  /**
   * Follows any chain, from its head in the descriptor table, by every rule; each descriptor is
   * read once, as two words.
   */
  private void walk(DescriptorChain chain, int head) throws PeerFault {
    int at = head;
    for (int steps = 1; ; steps++) {
      long slot = desc + (long) DESC_SIZE * at;
      long address = order64(RawMemory.getLong(slot));
      long word = RawMemory.getLong(slot + 8);
      int flags = flags(word);
      if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
        if ((flags & VIRTQ_DESC_F_NEXT) != 0) {
          throw new PeerFault(FaultReason.INDIRECT_WITH_NEXT, at);
        }
        walkIndirect(chain, address, length(word), steps - 1);
        return;
      }
      take(chain, address, length(word), flags);
      if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
        return;
      }
      at = next(word);
      if (at >= size()) {
        throw new PeerFault(FaultReason.NEXT_OUT_OF_RANGE, at);
      }
      if (steps >= size()) {
        throw new PeerFault(FaultReason.CHAIN_TOO_LONG, head);
      }
    }
  }

  private void walkIndirect(DescriptorChain chain, long table, long bytes, int before)
      throws PeerFault {
    if (!indirectAllowed) {
      throw new PeerFault(FaultReason.INDIRECT_NOT_NEGOTIATED, table);
    }
    if (bytes == 0 || bytes % DESC_SIZE != 0) {
      throw new PeerFault(FaultReason.INDIRECT_LENGTH, bytes);
    }
    GuestMemory.checkRange(table, bytes);
    long entries = bytes / DESC_SIZE;
    int at = 0;
    for (int steps = before + 1; ; steps++) {
      // One descriptor at a time: the table may be longer than a chain is allowed to be.
      long slot = table + (long) DESC_SIZE * at;
      long address = order64(load(slot));
      long word = load(slot + 8);
      int flags = flags(word);
      if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
        throw new PeerFault(FaultReason.INDIRECT_IN_INDIRECT, at);
      }
      take(chain, address, length(word), flags);
      if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
        return;
      }
      at = next(word);
      if (at >= entries) {
        throw new PeerFault(FaultReason.NEXT_OUT_OF_RANGE, at);
      }
      if (steps >= maxChain) {
        throw new PeerFault(FaultReason.CHAIN_TOO_LONG, table);
      }
    }
  }

  /** Loads 64 bits of an indirect table, which needs no alignment and may cross a region's edge. */
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
    outstanding[chain.head()] = false;
  }

  @Override
  void complete(int head, int written, int buffers, int descriptors) {
    long entry = used + RING + (long) USED_ENTRY_SIZE * (nextUsed & mask);
    RawMemory.putInt(entry, order32(head));
    RawMemory.putInt(entry + 4, order32(written));
    nextUsed = (nextUsed + buffers) & 0xffff;
  }

  @Override
  boolean hasUnpublishedUsed() {
    return nextUsed != publishedUsed;
  }

  @Override
  boolean publishUsed() {
    if (nextUsed == publishedUsed) {
      return false;
    }
    int before = publishedUsed;
    publishedUsed = nextUsed;
    RawMemory.putShortRelease(used + IDX, order16(nextUsed)); // pair [B]
    VarHandle.fullFence(); // pair [D]
    boolean due;
    if (eventIdx) {
      int event = order16(RawMemory.getShort(avail + RING + (long) AVAIL_ENTRY_SIZE * size()));
      due = SplitRing.needEvent(event, nextUsed, before);
    } else {
      int flags = order16(RawMemory.getShort(avail + FLAGS));
      due = (flags & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
    }
    if (due) {
      counters().notificationsSent++;
    } else {
      counters().notificationsSuppressed++;
    }
    Trace.notification(index(), (nextUsed - before) & 0xffff, due);
    return due;
  }

  @Override
  public boolean enableNotifications() {
    if (eventIdx) {
      long availEvent = used + RING + (long) USED_ENTRY_SIZE * size();
      RawMemory.putShort(availEvent, order16(nextAvail));
    } else {
      RawMemory.putShort(used + FLAGS, 0);
    }
    VarHandle.fullFence(); // pair [C]
    return order16(RawMemory.getShortAcquire(avail + IDX)) == nextAvail;
  }

  @Override
  public void disableNotifications() {
    // With event index the flags stay 0 (a MUST) and a stale avail_event already asks for nothing.
    if (!eventIdx) {
      RawMemory.putShort(used + FLAGS, order16(VIRTQ_USED_F_NO_NOTIFY));
    }
  }

  @Override
  public int nextIndex() {
    return nextAvail;
  }

  // The second word of a descriptor holds len, flags and next; in a big-endian session each of them
  // is swapped by itself.

  private long length(long word) {
    int len = (int) word;
    return Integer.toUnsignedLong(swap ? Integer.reverseBytes(len) : len);
  }

  private int flags(long word) {
    return order16((int) (word >>> 32) & 0xffff);
  }

  private int next(long word) {
    return order16((int) (word >>> 48));
  }

  private int order16(int value) {
    return swap ? Short.reverseBytes((short) value) & 0xffff : value;
  }

  private int order32(int value) {
    return swap ? Integer.reverseBytes(value) : value;
  }

  private long order64(long value) {
    return swap ? Long.reverseBytes(value) : value;
  }
}
