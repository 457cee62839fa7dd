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

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.raw.RawMemory;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import java.io.IOException;
import java.lang.invoke.VarHandle;

/**
 * The driver side of a split virtqueue (virtio 1.4, Split Virtqueues).
 *
 * <p>The free list, the length of every chain and all indexes live in Java arrays and fields; of
 * what the device can write only the used ring is read, once each, and checked. Owner thread only.
 *
 * <p>Barrier pairs, named as in {@link SplitDeviceQueue}: [A] our release store of the available
 * idx with the device's acquire load of it; [B] its release store of the used idx with our acquire
 * load of it; [C] our store of the available idx, full fence, load of avail_event (or flags), with
 * its store of avail_event, full fence, load of the available idx; [D] our store of used_event (or
 * flags), full fence, load of the used idx, with its store of the used idx, full fence, load of
 * used_event.
 */
public final class SplitDriverQueue extends DriverQueue {
  // In the second word of a descriptor.
  private static final long NEXT = (long) VIRTQ_DESC_F_NEXT << 32;
  private static final long WRITE = (long) VIRTQ_DESC_F_WRITE << 32;
  private static final long NEXT_AND_WRITE = NEXT | WRITE;

  private final int maxElements;
  private final boolean indirect;
  private final boolean eventIdx;
  private final boolean inOrder;
  private final boolean modern;
  private final boolean swap;
  private final int legacyAlign;
  private final DriverArea area;
  private final long desc;

  private int mask;
  private long avail;
  private long used;

  /** The free list, and the rest of a chain: the descriptor after this one. */
  private final short[] next;

  /** By head: how many descriptors of the table the chain takes. */
  private final short[] taken;

  /** By head: the last descriptor of the chain in the table, so that no chain is walked again. */
  private final short[] last;

  /** By head: bytes that the device may write. */
  private final long[] writable;

  /** By head: the free-running available idx at which it stands. */
  private final int[] position;

  /** VIRTIO_F_IN_ORDER: heads by their place in the available ring; null without it. */
  private final short[] order;

  private int freeHead;

  /**
   * Free-running, 32 bits: the next entry of the available ring to fill; its low 16 are the idx.
   */
  private int nextAvail;

  /** Free-running, 32 bits: what the device sees as the available idx. */
  private int publishedAvail;

  /** Free-running: the next entry of the used ring to take. */
  private int nextUsed;

  /** Free-running: the device's used idx as last loaded. */
  private int usedIdx;

  /** In order: buffers of a batch that are still to be taken, all but the last used completely. */
  private int batch;

  private long batchWritten;

  SplitDriverQueue(DriverQueueOptions options, DriverMemory memory, QueueNotifier notifier)
      throws IOException {
    super(options, notifier);
    int maxSize = options.size();
    this.indirect =
        options.maxElements() > 1
            && options.features().has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    // A chain must not be longer than the queue size, an indirect table included.
    this.maxElements = Math.min(options.maxElements(), maxSize);
    this.eventIdx = options.features().has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    this.inOrder = options.features().has(ReservedFeatures.VIRTIO_F_IN_ORDER);
    this.modern = options.features().has(ReservedFeatures.VIRTIO_F_VERSION_1);
    this.swap = options.bigEndian();
    this.legacyAlign = options.legacyAlign();
    this.area =
        new DriverArea(
            memory,
            ringBytes(maxSize),
            legacyAlign == 0 ? 64 : 4096,
            indirect ? (long) maxSize * maxElements * DESC_SIZE : 0);
    this.desc = area.host;
    this.next = new short[maxSize];
    this.taken = new short[maxSize];
    this.last = new short[maxSize];
    this.writable = new long[maxSize];
    this.position = new int[maxSize];
    this.order = inOrder ? new short[maxSize] : null;
    restart(maxSize);
  }

  /** Bytes of the three parts. The modern ones start in cache lines of their own. */
  private long ringBytes(int queueSize) {
    return legacyAlign == 0
        ? modernUsedOffset(queueSize) + SplitRing.usedSize(queueSize)
        : SplitRing.vringSize(queueSize, legacyAlign);
  }

  private static long modernAvailOffset(int queueSize) {
    return (SplitRing.descSize(queueSize) + 63) & -64;
  }

  private static long modernUsedOffset(int queueSize) {
    return (modernAvailOffset(queueSize) + SplitRing.availSize(queueSize) + 63) & -64;
  }

  @Override
  void restart(int newSize) {
    if (!SplitRing.isValidQueueSize(newSize) || newSize > maxSize()) {
      throw new IllegalArgumentException("queue size " + newSize + " of at most " + maxSize());
    }
    area.clear();
    size = newSize;
    mask = newSize - 1;
    boolean apart = legacyAlign == 0;
    avail = desc + (apart ? modernAvailOffset(size) : SplitRing.descSize(size));
    used = desc + (apart ? modernUsedOffset(size) : SplitRing.legacyUsedOffset(size, legacyAlign));
    for (int i = 0; i < size; i++) {
      // In order the table is used round and round, so the last is followed by the first.
      next[i] = (short) (i + 1 & mask);
    }
    freeHead = 0;
    freeCount = size;
    nextAvail = 0;
    publishedAvail = 0;
    nextUsed = 0;
    usedIdx = 0;
    batch = 0;
    callbackEnabled = true;
  }

  @Override
  public QueueLayout layout() {
    long device = area.device();
    // Both rings start at 0, also when buffers were added before the device hears of the queue.
    return new QueueLayout(size, device, device + (avail - desc), device + (used - desc), 0);
  }

  @Override
  public boolean add(DriverBuffer buffer, Object token) throws PeerFault {
    checkUsable();
    int count = buffer.count();
    if (count == 0 || token == null) {
      throw new IllegalArgumentException(count == 0 ? "a buffer without elements" : "no token");
    }
    int head = freeHead;
    if (paysIndirect(count)) {
      if (freeCount == 0) {
        return false;
      }
      long offset = (long) head * maxElements * DESC_SIZE;
      fillTable(area.tableHost + offset, buffer);
      putDescriptor(
          desc + (long) DESC_SIZE * head,
          area.tableDevice + offset,
          count * DESC_SIZE,
          VIRTQ_DESC_F_INDIRECT,
          0);
      freeHead = next[head] & 0xffff;
      last[head] = (short) head;
      taken[head] = 1;
      freeCount--;
      counters.indirect++;
    } else {
      if (count > freeCount) {
        if (count > size) {
          throw new IllegalArgumentException(count + " elements for a queue of " + size);
        }
        return false;
      }
      freeHead = fillChain(head, buffer);
      taken[head] = (short) count;
      freeCount -= count;
    }
    tokens[head] = token;
    writable[head] = buffer.writableBytes();
    position[head] = nextAvail;
    if (inOrder) {
      order[nextAvail & mask] = (short) head;
    }
    long entry = avail + RING + (long) AVAIL_ENTRY_SIZE * (nextAvail & mask);
    RawMemory.putShort(entry, order16(head));
    nextAvail++;
    inFlight++;
    counters.added++;
    return true;
  }

  /**
   * An indirect table costs the device one load more and saves descriptors. So it pays when
   * descriptors run short: chains in the table itself take at most a quarter of it, which keeps
   * room for as many buffers as before and is the shorter way when little is in flight.
   */
  private boolean paysIndirect(int count) {
    return indirect
        && count > 1
        && count <= maxElements
        && count <= size
        && size - freeCount + count > size >> 2;
  }

  /** Returns the free descriptor after the chain. */
  private int fillChain(int head, DriverBuffer buffer) {
    if (swap) {
      return fillSwapped(head, buffer);
    }
    long[] addresses = buffer.addresses;
    int[] lengths = buffer.lengths;
    int readable = buffer.readableCount();
    int end = buffer.count() - 1;
    int at = head;
    for (int i = 0; i < end; i++) {
      int after = next[at] & 0xffff;
      RawMemory.putLongs(
          desc + (long) DESC_SIZE * at,
          addresses[i],
          (i < readable ? NEXT : NEXT_AND_WRITE)
              | (long) after << 48
              | Integer.toUnsignedLong(lengths[i]));
      at = after;
    }
    RawMemory.putLongs(
        desc + (long) DESC_SIZE * at,
        addresses[end],
        (end < readable ? 0 : WRITE) | Integer.toUnsignedLong(lengths[end]));
    last[head] = (short) at;
    return next[at] & 0xffff;
  }

  /** The same in a big-endian session. */
  private int fillSwapped(int head, DriverBuffer buffer) {
    int end = buffer.count() - 1;
    int at = head;
    for (int i = 0; i < end; i++) {
      int after = next[at] & 0xffff;
      putElement(desc + (long) DESC_SIZE * at, buffer, i, after);
      at = after;
    }
    putElement(desc + (long) DESC_SIZE * at, buffer, end, 0);
    last[head] = (short) at;
    return next[at] & 0xffff;
  }

  private void fillTable(long table, DriverBuffer buffer) {
    int count = buffer.count();
    for (int i = 0; i < count; i++) {
      putElement(table + (long) DESC_SIZE * i, buffer, i, i + 1 < count ? i + 1 : 0);
    }
  }

  private void putElement(long slot, DriverBuffer buffer, int i, int nextIndex) {
    int flags = i < buffer.readableCount() ? 0 : VIRTQ_DESC_F_WRITE;
    if (i + 1 < buffer.count()) {
      flags |= VIRTQ_DESC_F_NEXT;
    }
    putDescriptor(slot, buffer.addresses[i], buffer.lengths[i], flags, nextIndex);
  }

  /**
   * Writes one descriptor as two words. In a big-endian session each of len, flags and next is
   * swapped by itself.
   */
  private void putDescriptor(long slot, long address, int length, int flags, int nextIndex) {
    RawMemory.putLongs(
        slot,
        swap ? Long.reverseBytes(address) : address,
        (long) order16(nextIndex) << 48
            | (long) order16(flags) << 32
            | Integer.toUnsignedLong(order32(length)));
  }

  @Override
  public boolean kickPrepare() {
    if (nextAvail == publishedAvail || isBroken() || isSuspended()) {
      return false;
    }
    int before = publishedAvail;
    publishedAvail = nextAvail;
    RawMemory.putShortRelease(avail + IDX, order16(nextAvail)); // pair [A]
    VarHandle.fullFence(); // pair [C]
    boolean due;
    if (eventIdx) {
      long availEvent = used + RING + (long) USED_ENTRY_SIZE * size;
      due = SplitRing.needEvent(order16(RawMemory.getShort(availEvent)), nextAvail, before);
    } else {
      due = (order16(RawMemory.getShort(used + FLAGS)) & VIRTQ_USED_F_NO_NOTIFY) == 0;
    }
    if (due) {
      counters.notificationsSent++;
    } else {
      counters.notificationsSuppressed++;
    }
    return due;
  }

  @Override
  int nextAvailable() {
    return publishedAvail & 0xffff;
  }

  @Override
  public boolean hasUsed() {
    return nextUsed != usedIdx || loadUsedIdx() != nextUsed;
  }

  private int loadUsedIdx() {
    return order16(RawMemory.getShortAcquire(used + IDX)); // pair [B]
  }

  @Override
  public Object get() throws PeerFault {
    checkUsable();
    if (batch > 0) {
      return takeInOrder();
    }
    if (nextUsed == usedIdx) {
      int idx = loadUsedIdx();
      // Everything used before has been taken, so all that is published and in flight counts.
      if (((idx - nextUsed) & 0xffff) > inFlight - (nextAvail - publishedAvail)) {
        throw broken(FaultReason.USED_IDX_JUMP, idx);
      }
      usedIdx = idx;
      if (idx == nextUsed) {
        return null;
      }
    }
    long entry = used + RING + (long) USED_ENTRY_SIZE * (nextUsed & mask);
    int word = RawMemory.getInt(entry);
    int length = order32(RawMemory.getInt(entry + 4));
    long id = Integer.toUnsignedLong(order32(word));
    if (id >= size) {
      throw broken(FaultReason.USED_ID_OUT_OF_RANGE, id);
    }
    int head = (int) id;
    if (tokens[head] == null || position[head] - publishedAvail >= 0) {
      throw broken(FaultReason.USED_ID_NOT_AVAILABLE, head);
    }
    long bytes = Integer.toUnsignedLong(length);
    if (bytes > writable[head]) {
      if (modern) {
        throw broken(FaultReason.USED_LENGTH_TOO_LONG, bytes);
      }
      bytes = writable[head];
    }
    if (!inOrder) {
      return take(head, bytes);
    }
    // One element for all buffers from the oldest to this one (In-order use of descriptors).
    batch = position[head] - oldest() + 1;
    if (batch > ((usedIdx - nextUsed) & 0xffff)) {
      throw broken(FaultReason.USED_IDX_JUMP, usedIdx);
    }
    batchWritten = bytes;
    return takeInOrder();
  }

  /** The free-running available idx of the oldest buffer in flight. */
  private int oldest() {
    return nextAvail - inFlight;
  }

  /** The oldest buffer of a batch; all but the last were used completely. */
  private Object takeInOrder() {
    int head = order[oldest() & mask] & 0xffff;
    batch--;
    return take(head, batch == 0 ? batchWritten : writable[head]);
  }

  private Object take(int head, long bytes) {
    Object token = tokens[head];
    written = bytes;
    nextUsed = (nextUsed + 1) & 0xffff;
    free(head);
    counters.used++;
    if (callbackEnabled && eventIdx) {
      // Whoever takes buffers with the callback enabled wants to hear of the one after them.
      putUsedEvent(nextUsed);
      VarHandle.fullFence(); // pair [D]
    }
    return token;
  }

  @Override
  void free(int head) {
    if (!inOrder) {
      next[last[head] & 0xffff] = (short) freeHead;
      freeHead = head;
    }
    freeCount += taken[head] & 0xffff;
    tokens[head] = null;
    inFlight--;
  }

  @Override
  public void disableCallback() {
    if (!callbackEnabled) {
      return;
    }
    callbackEnabled = false;
    if (eventIdx) {
      // With event index the flags stay 0 (a MUST); the event is put as far away as it gets.
      putUsedEvent(nextUsed - 1);
    } else {
      RawMemory.putShort(avail + FLAGS, order16(VIRTQ_AVAIL_F_NO_INTERRUPT));
    }
  }

  private void putUsedEvent(int event) {
    RawMemory.putShort(avail + RING + (long) AVAIL_ENTRY_SIZE * size, order16(event & 0xffff));
  }

  @Override
  public int prepareCallback() {
    callbackEnabled = true;
    if (eventIdx) {
      putUsedEvent(nextUsed);
    } else {
      RawMemory.putShort(avail + FLAGS, 0);
    }
    return nextUsed;
  }

  @Override
  public boolean hasUsedSince(int position) {
    VarHandle.fullFence(); // pair [D]
    // A device that takes its idx back does not make those disappear that it had shown.
    return loadUsedIdx() != position || usedIdx != nextUsed;
  }

  @Override
  public boolean enableCallbackDelayed() {
    if (!eventIdx) {
      return enableCallback();
    }
    callbackEnabled = true;
    int most = (inFlight - (nextAvail - publishedAvail)) * 3 / 4;
    putUsedEvent(nextUsed + most);
    VarHandle.fullFence(); // pair [D]
    return ((loadUsedIdx() - nextUsed) & 0xffff) <= most;
  }

  @Override
  public boolean hasUsedUpTo(int stop) {
    return loadUsedIdx() == (stop & 0xffff);
  }

  @Override
  public void release() {
    area.release();
  }

  private int order16(int value) {
    return swap ? Short.reverseBytes((short) value) & 0xffff : value & 0xffff;
  }

  private int order32(int value) {
    return swap ? Integer.reverseBytes(value) : value;
  }
}
