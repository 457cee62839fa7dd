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
public abstract sealed class DeviceQueue permits SplitDeviceQueue {
  private final int index;
  private final int size;
  private final boolean bigEndian;
  private final QueueCounters counters;
  private final DescriptorChain[] free;
  private int freeCount;

  /** What the device has in its hands at this moment: lost when the device throws. */
  private DescriptorChain current;

  private int inFlight;
  private boolean open = true;
  private boolean drained = true;

  DeviceQueue(int index, int size, boolean bigEndian, QueueCounters counters) {
    this.index = index;
    this.size = size;
    this.bigEndian = bigEndian;
    this.counters = counters;
    this.free = new DescriptorChain[size];
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
    if (!chain.isInFlight()) {
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
    if (open) {
      complete(chain.head(), (int) Math.min(written, 0xffff_ffffL));
      counters.used++;
    }
    settle();
    recycle(chain);
  }

  private void settle() {
    current.setInFlight(false);
    current = null;
    inFlight--;
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
  }

  /** Whether the rings may be accessed. */
  public final boolean isOpen() {
    return open;
  }

  /** Whether a buffer is available: one acquire load of the index once a batch. */
  abstract boolean hasNext() throws PeerFault;

  abstract void fill(DescriptorChain chain) throws PeerFault;

  abstract void complete(int head, int written);

  /**
   * Makes all pushed buffers visible to the driver at once.
   *
   * @return whether a used buffer notification is due (Used Buffer Notification Suppression)
   */
  public final boolean publish() {
    current = null; // the device has returned
    return open && publishUsed();
  }

  abstract boolean publishUsed();

  /** Whether buffers were pushed and not yet published. */
  public abstract boolean hasUnpublished();

  /**
   * Asks for available buffer notifications.
   *
   * @return false when a buffer became available in between: no notification may come for it
   */
  public abstract boolean enableNotifications();

  /** Tells the driver that available buffer notifications are not needed. */
  public abstract void disableNotifications();

  /** The free-running index of the next buffer to take: where a later session starts. */
  public abstract int nextIndex();
}
