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

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.raw.RawMemory;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.invoke.VarHandle;

/**
 * The driver side of a packed virtqueue (virtio 1.4, Packed Virtqueues). The interface is little-
 * endian always: packed rings exist only with VIRTIO_F_VERSION_1.
 *
 * <p>All descriptors of a batch are written with their flags, but for the flags of the batch's
 * first descriptor: those are stored when the batch is published. The device looks at one
 * descriptor at a time, in order, so it sees all of the batch or nothing.
 *
 * <p>What the device can write is read once: len, id and flags of the next used descriptor, in one
 * load. The length of every chain and the state of every buffer id live in Java arrays. Owner
 * thread only.
 *
 * <p>Barrier pairs, named as in {@link PackedDeviceQueue}: [A] our release store of the batch's
 * first flags with the device's acquire load of them; [B] its release store of a used descriptor's
 * flags with our acquire load of them; [C] our store of flags, full fence, load of the Device Area,
 * with its store of the Device Area, full fence, load of flags; [D] our store of the Driver Area,
 * full fence, load of flags, with its store of flags, full fence, load of the Driver Area.
 */
public final class PackedDriverQueue extends DriverQueue {
  // In the second word of a descriptor.
  private static final long AVAIL = (long) VIRTQ_DESC_F_AVAIL << 48;
  private static final long MARKS = (long) (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) << 48;
  private static final long BELOW_FLAGS = (1L << 48) - 1;
  private static final long NEXT = (long) VIRTQ_DESC_F_NEXT << 48;
  private static final long WRITE = (long) VIRTQ_DESC_F_WRITE << 48;
  private static final long INDIRECT = (long) VIRTQ_DESC_F_INDIRECT << 48;

  private final int maxElements;
  private final boolean indirect;
  private final boolean eventIdx;
  private final boolean inOrder;
  private final DriverArea area;
  private final long desc;
  private final long driverEvent;
  private final long deviceEvent;

  /** By buffer id: the free list. */
  private final short[] nextId;

  /** By buffer id: how many descriptors of the ring it takes. */
  private final short[] taken;

  /** By buffer id: bytes that the device may write. */
  private final long[] writable;

  /** By buffer id: the free-running number of the buffer. */
  private final int[] number;

  /** In order: buffer ids in the order in which they were added, round and round. */
  private final short[] order;

  private int orderEnd;
  private int oldest;

  private int freeId;

  private int nextAvail;

  /** The AVAIL and USED bits of what is made available now, where they are in the second word. */
  private long availMarks;

  /** Descriptors written since the last publication; the first of them lacks its flags. */
  private int unpublished;

  private int firstUnpublished;
  private int firstFlags;

  /** Free-running numbers of buffers. */
  private int added;

  private int published;
  private int taking;

  private int nextUsed;

  /** The same of what is used next. */
  private long usedMarks;

  /** In order: buffers of a batch that are still to be taken, all but the last used whole. */
  private int batch;

  private long batchWritten;

  PackedDriverQueue(DriverQueueOptions options, DriverMemory memory, QueueNotifier notifier)
      throws IOException {
    super(options, notifier);
    int maxSize = options.size();
    this.indirect =
        options.maxElements() > 1
            && options.features().has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    this.maxElements = Math.min(options.maxElements(), maxSize);
    this.eventIdx = options.features().has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    this.inOrder = options.features().has(ReservedFeatures.VIRTIO_F_IN_ORDER);
    // The two event structures have cache lines of their own: each side writes one of them.
    long events = (PackedRing.descSize(maxSize) + 63) & -64;
    this.area =
        new DriverArea(
            memory, events + 128, 64, indirect ? (long) maxSize * maxElements * DESC_SIZE : 0);
    this.desc = area.host;
    this.driverEvent = desc + events;
    this.deviceEvent = driverEvent + 64;
    this.nextId = new short[maxSize];
    this.taken = new short[maxSize];
    this.writable = new long[maxSize];
    this.number = new int[maxSize];
    this.order = inOrder ? new short[maxSize] : null;
    restart(maxSize);
  }

  @Override
  void restart(int newSize) {
    if (!PackedRing.isValidQueueSize(newSize) || newSize > maxSize()) {
      throw new IllegalArgumentException("queue size " + newSize + " of at most " + maxSize());
    }
    area.clear();
    size = newSize;
    for (int i = 0; i < size; i++) {
      nextId[i] = (short) (i + 1);
    }
    freeId = 0;
    freeCount = size;
    nextAvail = 0;
    availMarks = AVAIL;
    unpublished = 0;
    added = 0;
    published = 0;
    taking = 0;
    orderEnd = 0;
    oldest = 0;
    nextUsed = 0;
    usedMarks = MARKS;
    batch = 0;
    callbackEnabled = true;
  }

  @Override
  public QueueLayout layout() {
    long device = area.device();
    return new QueueLayout(
        size,
        device,
        device + (driverEvent - desc),
        device + (deviceEvent - desc),
        QueueLayout.PACKED_START);
  }

  @Override
  public boolean add(DriverBuffer buffer, Object token) throws PeerFault {
    checkUsable();
    int count = buffer.count();
    if (count == 0 || token == null) {
      throw new IllegalArgumentException(count == 0 ? "a buffer without elements" : "no token");
    }
    int id = freeId;
    int descriptors;
    if (indirect && count > 1 && count <= maxElements && count <= size) {
      // A packed ring pays for every descriptor of a chain with a store of its own and a slot that
      // stays taken, so a table always pays.
      if (freeCount == 0) {
        return false;
      }
      long offset = (long) id * maxElements * DESC_SIZE;
      fillTable(area.tableHost + offset, buffer);
      put(area.tableDevice + offset, INDIRECT | (long) id << 32 | (long) count * DESC_SIZE);
      descriptors = 1;
      counters.indirect++;
    } else {
      if (count > freeCount) {
        if (count > size) {
          throw new IllegalArgumentException(count + " elements for a queue of " + size);
        }
        return false;
      }
      fillRing(buffer, id);
      descriptors = count;
    }
    freeId = nextId[id] & 0xffff;
    freeCount -= descriptors;
    taken[id] = (short) descriptors;
    tokens[id] = token;
    writable[id] = buffer.writableBytes();
    number[id] = added;
    if (inOrder) {
      order[orderEnd] = (short) id;
      orderEnd = orderEnd + 1 == size ? 0 : orderEnd + 1;
    }
    added++;
    inFlight++;
    counters.added++;
    return true;
  }

  /**
   * Writes a buffer's descriptors. The loop knows the ring's end to be further away, and the first
   * descriptor, which may have to be hidden, is written behind it: so little is left in the loop
   * that the JIT keeps it in registers.
   */
  private void fillRing(DriverBuffer buffer, int id) {
    int count = buffer.count();
    int position = nextAvail;
    if (count >= size - position) {
      fillAcross(buffer, id);
      return;
    }
    long[] addresses = buffer.addresses;
    int[] lengths = buffer.lengths;
    int readable = buffer.readableCount();
    int last = count - 1;
    long slot = desc + (long) DESC_SIZE * position;
    long word = availMarks | (long) id << 32;
    for (int i = 1; i < count; i++) {
      long flags = (i < readable ? 0 : WRITE) | (i < last ? NEXT : 0);
      RawMemory.putLongs(
          slot + (long) DESC_SIZE * i,
          addresses[i],
          word | flags | Integer.toUnsignedLong(lengths[i]));
    }
    word |= (readable == 0 ? WRITE : 0) | (last == 0 ? 0 : NEXT);
    word |= Integer.toUnsignedLong(lengths[0]);
    if (unpublished == 0) {
      word = hide(word);
    }
    RawMemory.putLongs(slot, addresses[0], word);
    unpublished += count;
    nextAvail = position + count;
  }

  /** The same for a buffer whose descriptors reach the ring's end. */
  private void fillAcross(DriverBuffer buffer, int id) {
    int count = buffer.count();
    int readable = buffer.readableCount();
    for (int i = 0; i < count; i++) {
      long flags = (i < readable ? 0 : WRITE) | (i < count - 1 ? NEXT : 0);
      put(buffer.addresses[i], flags | (long) id << 32 | Integer.toUnsignedLong(buffer.lengths[i]));
    }
  }

  /** Writes the next descriptor. */
  private void put(long address, long unmarked) {
    long word = unmarked | availMarks;
    if (unpublished == 0) {
      word = hide(word);
    }
    RawMemory.putLongs(desc + (long) DESC_SIZE * nextAvail, address, word);
    unpublished++;
    if (++nextAvail == size) {
      nextAvail = 0;
      availMarks ^= MARKS;
    }
  }

  /**
   * The first descriptor of a batch, whose flags are stored when it is published.
   *
   * @return what is there until then: the marks of one that was used a lap before
   */
  private long hide(long word) {
    firstUnpublished = nextAvail;
    firstFlags = (int) (word >>> 48);
    return word & BELOW_FLAGS | (availWrap() ? 0 : MARKS);
  }

  private static void fillTable(long table, DriverBuffer buffer) {
    int readable = buffer.readableCount();
    for (int i = 0; i < buffer.count(); i++) {
      long slot = table + (long) DESC_SIZE * i;
      RawMemory.putLongs(
          slot,
          buffer.addresses[i],
          (i < readable ? 0 : WRITE) | Integer.toUnsignedLong(buffer.lengths[i]));
    }
  }

  @Override
  public boolean kickPrepare() {
    if (unpublished == 0 || isBroken() || isSuspended()) {
      return false;
    }
    int count = unpublished;
    unpublished = 0;
    published = added;
    long first = desc + (long) DESC_SIZE * firstUnpublished;
    RawMemory.putShortRelease(first + FLAGS, firstFlags); // pair [A]
    VarHandle.fullFence(); // pair [C]
    int event = RawMemory.getInt(deviceEvent);
    boolean due = PackedRing.needEvent(event, nextAvail, availWrap(), count, size, eventIdx);
    if (due) {
      counters.notificationsSent++;
    } else {
      counters.notificationsSuppressed++;
    }
    return due;
  }

  private boolean availWrap() {
    return availMarks == AVAIL;
  }

  private boolean usedWrap() {
    return usedMarks == MARKS;
  }

  @Override
  int nextAvailable() {
    return unpublished == 0
        ? nextAvail | (availWrap() ? WRAP : 0)
        : firstUnpublished | ((firstFlags & PackedRing.VIRTQ_DESC_F_AVAIL) != 0 ? WRAP : 0);
  }

  @Override
  public boolean hasUsed() {
    return batch > 0 || isUsed(nextUsed, usedWrap());
  }

  private boolean isUsed(int position, boolean wrap) {
    long slot = desc + (long) DESC_SIZE * position;
    return PackedRing.isUsed(RawMemory.getShortAcquire(slot + FLAGS), wrap); // pair [B]
  }

  @Override
  public Object get() throws PeerFault {
    checkUsable();
    if (batch > 0) {
      return takeInOrder();
    }
    long slot = desc + (long) DESC_SIZE * nextUsed;
    // One load of len, id and flags, so that they belong together.
    long word = RawMemory.getLongAcquire(slot + LEN); // pair [B]
    if ((word & MARKS) != usedMarks) {
      return null;
    }
    int id = (int) (word >>> 32) & 0xffff;
    if (id >= size) {
      throw broken(FaultReason.USED_ID_OUT_OF_RANGE, id);
    }
    if (tokens[id] == null || number[id] - published >= 0) {
      throw broken(FaultReason.USED_ID_NOT_AVAILABLE, id);
    }
    long bytes = word & 0xffff_ffffL;
    if (bytes > writable[id]) {
      if ((word & WRITE) != 0) {
        throw broken(FaultReason.USED_LENGTH_TOO_LONG, bytes);
      }
      // Reserved without WRITE. But QEMU's devices never set it, and Linux never looks at it, so a
      // length that can be one is taken.
      bytes = 0;
    }
    if (inOrder) {
      batch = number[id] - taking + 1;
      batchWritten = bytes;
      return takeInOrder();
    }
    return take(id, bytes);
  }

  /** The oldest buffer of a batch: all but the last were used whole. */
  private Object takeInOrder() {
    int id = order[oldest] & 0xffff;
    oldest = oldest + 1 == size ? 0 : oldest + 1;
    taking++;
    batch--;
    return take(id, batch == 0 ? batchWritten : writable[id]);
  }

  private Object take(int id, long bytes) {
    Object token = tokens[id];
    written = bytes;
    nextUsed += taken[id] & 0xffff;
    if (nextUsed >= size) {
      nextUsed -= size;
      usedMarks ^= MARKS;
    }
    free(id);
    counters.used++;
    if (callbackEnabled && eventIdx) {
      putDriverEvent(nextUsed, usedWrap(), RING_EVENT_FLAGS_DESC);
      VarHandle.fullFence(); // pair [D]
    }
    return token;
  }

  @Override
  void free(int id) {
    nextId[id] = (short) freeId;
    freeId = id;
    freeCount += taken[id] & 0xffff;
    tokens[id] = null;
    inFlight--;
  }

  /** One store for offset, wrap counter and flags, so that the device never sees half of it. */
  private void putDriverEvent(int offset, boolean wrap, int flags) {
    RawMemory.putInt(driverEvent, flags << 16 | offset | (wrap ? WRAP : 0));
  }

  @Override
  public void disableCallback() {
    if (callbackEnabled) {
      callbackEnabled = false;
      putDriverEvent(0, false, RING_EVENT_FLAGS_DISABLE);
    }
  }

  @Override
  public int prepareCallback() {
    callbackEnabled = true;
    putDriverEvent(
        nextUsed, usedWrap(), eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE);
    return nextUsed | (usedWrap() ? WRAP : 0);
  }

  @Override
  public boolean hasUsedSince(int position) {
    VarHandle.fullFence(); // pair [D]
    return batch > 0 || isUsed(position & (WRAP - 1), (position & WRAP) != 0);
  }

  @Override
  public boolean enableCallbackDelayed() {
    if (!eventIdx) {
      return enableCallback();
    }
    callbackEnabled = true;
    int most = (size - freeCount - unpublished) * 3 / 4;
    int position = nextUsed + most;
    boolean wrap = usedWrap();
    if (position >= size) {
      position -= size;
      wrap = !wrap;
    }
    putDriverEvent(position, wrap, RING_EVENT_FLAGS_DESC);
    VarHandle.fullFence(); // pair [D]
    // The device may have passed that place without writing a descriptor there, in the midst of a
    // chain: then nothing would come for what is used already.
    return !hasUsed();
  }

  @Override
  public boolean hasUsedUpTo(int stop) {
    int position = nextUsed % size; // its owner may be moving it past the end just now
    boolean wrap = usedWrap();
    // Each step is one used element or the end, so a device that lies ends it too. In order one
    // element may stand for several buffers, which this does not follow: a hint is enough.
    for (int steps = 0; steps <= size; steps++) {
      if ((position | (wrap ? WRAP : 0)) == (stop & 0xffff)) {
        return true;
      }
      if (!isUsed(position, wrap)) {
        return false;
      }
      int id = RawMemory.getShort(desc + (long) DESC_SIZE * position + PackedRing.ID);
      // The id may be none in flight: then this is what it took last, perhaps in a larger ring.
      position += id < size ? Math.clamp(taken[id] & 0xffff, 1, size) : 1;
      if (position >= size) {
        position -= size;
        wrap = !wrap;
      }
    }
    return true;
  }

  @Override
  public void release() {
    area.release();
  }
}
