// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.trace.Trace;

/**
 * The device side of one virtqueue, whatever its format.
 *
 * <p>A device calls {@link #pop} and {@link #push}; all the rest is its host's. Used buffers become
 * visible to the driver once a batch, when the host publishes. Owner thread only.
 */
public abstract sealed class DeviceQueue permits SplitDeviceQueue, PackedDeviceQueue {
  /**
   * The longest chain that an indirect table may make on a small queue. The specification's limit
   * is the queue size, but Linux fills indirect tables up to the device's own limits (such as
   * seg_max) whatever the queue size is, and QEMU accepts 1024, so 1024 interoperates.
   */
  static final int MAX_INDIRECT_CHAIN = 1024;

  /** Where the three parts are in this process. */
  record Addresses(long descriptorArea, long driverArea, long deviceArea) {}

  private final int index;
  private final int size;
  private final boolean bigEndian;
  private final QueueCounters counters;
  private final DescriptorChain[] free;
  private int freeCount;

  /** VIRTIO_F_IN_ORDER: chains in flight in the order in which they came; null without it. */
  private final DescriptorChain[] order;

  private int oldest;

  /** What the device has in its hands at this moment: lost when the device throws. */
  private DescriptorChain current;

  private int inFlight;
  private boolean open = true;
  private boolean drained = true;

  DeviceQueue(int index, int size, boolean bigEndian, boolean inOrder, QueueCounters counters) {
    this.index = index;
    this.size = size;
    this.bigEndian = bigEndian;
    this.counters = counters;
    this.free = new DescriptorChain[size];
    this.order = inOrder ? new DescriptorChain[size] : null;
  }

  /** The queue's number. */
  public final int index() {
    return index;
  }

  /** The queue size: the most buffers that can be available at once. */
  public final int size() {
    return size;
  }

  /** Whether multi-byte fields of this session are big-endian (legacy interface only). */
  public final boolean bigEndian() {
    return bigEndian;
  }

  /**
   * Whether the last {@link #pop} found nothing. When it is false, the device has left buffers for
   * later, because it is busy.
   */
  public final boolean isDrained() {
    return drained;
  }

  /**
   * The device leaves buffers for later without looking at them, because it is busy: only its own
   * completions need to wake the owner. Lasts until the next {@link #pop}.
   */
  public final void postpone() {
    drained = false;
  }

  /** How many chains were popped and not yet pushed. */
  public final int inFlight() {
    return inFlight;
  }

  /** Counters of this queue. */
  public final QueueCounters counters() {
    return counters;
  }

  /**
   * The next buffer that the driver made available.
   *
   * <p>When the device throws before it pops again, pushes, or returns, the buffer is given up with
   * the queue: nothing waits for it to be pushed. So a device throws before it starts work on a
   * buffer, not afterwards.
   *
   * @return a validated chain, or null when there is none now (or the queue is closed)
   * @throws PeerFault when the driver broke a rule; the queue is then of no more use
   */
  public final DescriptorChain pop() throws PeerFault {
    current = null;
    if (!open || !hasNext()) {
      drained = true;
      return null;
    }
    drained = false;
    DescriptorChain chain = freeCount > 0 ? free[--freeCount] : new DescriptorChain(bigEndian);
    boolean filled = false;
    try {
      fill(chain);
      filled = true;
    } finally {
      if (!filled) {
        recycle(chain);
      }
    }
    chain.setInFlight(true);
    current = chain;
    if (order != null) {
      order[(oldest + inFlight) % size] = chain;
    }
    inFlight++;
    counters.chains++;
    Trace.chain(
        index, chain.head(), chain.segmentCount(), chain.readableLength(), chain.writableLength());
    return chain;
  }

  /**
   * Gives a buffer back to the driver. In any order. A buffer of a queue that was closed in between
   * (reset) is only recycled.
   *
   * @param written bytes written from the start of the device-writable part
   * @throws IllegalArgumentException when that is more than the buffer holds: a bug of the device
   * @throws IllegalStateException when it is not in flight: a bug of the device
   */
  public final void push(DescriptorChain chain, long written) {
    if (!chain.isInFlight() || chain.isFinished()) {
      if (open) {
        throw new IllegalStateException("chain " + chain.head() + " is not in flight");
      }
      return; // given up with the queue
    }
    current = chain;
    if (written < 0 || written > chain.writableLength()) {
      throw new IllegalArgumentException(
          "written " + written + " of " + chain.writableLength() + " bytes");
    }
    if (order != null && open) {
      // It waits for those before it, and for the end of the batch.
      chain.finish(written);
      current = null;
      return;
    }
    if (open) {
      retire(chain);
      complete(chain.head(), length(written), 1, chain.descriptors());
      counters.used++;
    }
    settle();
    recycle(chain);
  }

  private static int length(long written) {
    return (int) Math.min(written, 0xffff_ffffL);
  }

  private void settle() {
    current.setInFlight(false);
    current = null;
    inFlight--;
  }

  /**
   * In-order use (virtio 1.4, In-order use of descriptors): of the oldest buffers those that are
   * done, as far as no other is in between. One used element stands for several buffers, all but
   * the last of which were used completely.
   */
  private void completeInOrder() {
    int buffers = 0;
    int descriptors = 0;
    while (inFlight > 0 && order[oldest].isFinished()) {
      DescriptorChain chain = order[oldest];
      order[oldest] = null;
      oldest = oldest + 1 == size ? 0 : oldest + 1;
      buffers++;
      descriptors += chain.descriptors();
      retire(chain);
      current = chain;
      settle();
      boolean last = inFlight == 0 || !order[oldest].isFinished();
      if (last || chain.finishedLength() != chain.writableLength()) {
        complete(chain.head(), length(chain.finishedLength()), buffers, descriptors);
        counters.used += buffers;
        buffers = 0;
        descriptors = 0;
      }
      recycle(chain);
    }
  }

  private void recycle(DescriptorChain chain) {
    chain.release();
    free[freeCount++] = chain;
  }

  /**
   * Guest memory has grown: from here on buffers may lie in the new regions too. Those in flight
   * stay as they are.
   *
   * @param larger holds every region of the memory before, at the same place
   */
  public abstract void growMemory(GuestMemory larger);

  /**
   * No ring access from here on: for reset, stop and faults. Chains in flight can still come back;
   * the one in whose midst the device threw does not, and is given up.
   */
  public final void close() {
    open = false;
    if (current != null) {
      settle();
    }
    if (order != null) {
      giveUpFinished();
    }
  }

  /** What was pushed and waits for its turn never comes back to a closed queue. */
  private void giveUpFinished() {
    // All of them: there may be gaps, such as the one that was just given up.
    for (DescriptorChain chain : order) {
      if (chain != null && chain.isInFlight() && chain.isFinished()) {
        current = chain;
        settle();
      }
    }
  }

  /** Whether the rings may be accessed. */
  public final boolean isOpen() {
    return open;
  }

  /** Whether a buffer is available: an acquire load, of a split ring's index once a batch. */
  abstract boolean hasNext() throws PeerFault;

  abstract void fill(DescriptorChain chain) throws PeerFault;

  /** A buffer is about to be used: what is known of it while it is in flight is forgotten. */
  abstract void retire(DescriptorChain chain);

  /**
   * Writes one used element, not visible yet.
   *
   * @param id of the buffer, the last of those that it stands for
   * @param buffers how many it stands for
   * @param descriptors how many descriptors these take in the ring
   */
  abstract void complete(int id, int written, int buffers, int descriptors);

  /**
   * Makes all pushed buffers visible to the driver at once.
   *
   * @return whether a used buffer notification is due (Used Buffer Notification Suppression)
   */
  public final boolean publish() {
    current = null; // the device has returned
    if (!open) {
      return false;
    }
    if (order != null) {
      completeInOrder();
    }
    return publishUsed();
  }

  abstract boolean publishUsed();

  /** Whether buffers were pushed and not yet published. */
  public final boolean hasUnpublished() {
    return hasUnpublishedUsed() || (order != null && inFlight > 0 && order[oldest].isFinished());
  }

  abstract boolean hasUnpublishedUsed();

  /**
   * Asks for available buffer notifications.
   *
   * @return false when a buffer became available in between: no notification may come for it
   */
  public abstract boolean enableNotifications();

  /** Tells the driver that available buffer notifications are not needed. */
  public abstract void disableNotifications();

  /** Where the next buffer is taken, and a later session goes on: {@link QueueLayout#start}. */
  public abstract int nextIndex();
}
