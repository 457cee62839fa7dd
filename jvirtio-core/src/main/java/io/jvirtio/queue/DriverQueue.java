// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.util.Objects;

/**
 * The driver side of one virtqueue, whatever its format.
 *
 * <p>The operations are those that the field knows: add buffers with a token, kick, get used
 * buffers back, disable and enable the callback. A driver that adds several buffers kicks once.
 *
 * <pre>
 *   add, add, add --> kickPrepare (published; does the device want to know?) --> notifyDevice
 *   callback --> disableCallback --> get, get, get --> enableCallback: false? get again
 * </pre>
 *
 * <p>The driver keeps its own copy of all descriptor state and never trusts what the device can
 * write. A device that lies breaks the queue: {@link #fault} says why, every later {@link #add} and
 * {@link #get} throws the same, and {@link #detachUnused} hands out what is lost. Owner thread
 * only, but for {@link #breakQueue}, {@link #isBroken} and {@link #fault}.
 *
 * <p>Barriers are full fences, acquire loads and release stores, whatever was negotiated: there are
 * no weaker ones to fall back to without VIRTIO_F_ORDER_PLATFORM, and that feature changes nothing.
 */
public abstract sealed class DriverQueue permits SplitDriverQueue, PackedDriverQueue {
  private final int index;
  private final String name;
  private final QueueNotifier notifier;
  final DriverCounters counters = new DriverCounters();

  /** Whether the device must not be notified yet. Written under the lock. */
  private volatile boolean held;

  /** Whether a notification waits for that. Under the lock. */
  private boolean heldBack;

  /** Whether nothing is published or notified. Owner only, as the next two. */
  private boolean suspended;

  /** Whether a notification waits for that. */
  private boolean dueAfterwards;

  /** Whether it was reset since. */
  private boolean fresh;

  /** Why it is broken; null while it is not. Other threads may set it. */
  private volatile PeerFault fault;

  private final int maxSize;

  /** By head (split) or id (packed): what the driver gave; null when it is no buffer in flight. */
  final Object[] tokens;

  int size;
  int freeCount;
  int inFlight;

  /** Whether the device is asked for used buffer notifications. */
  boolean callbackEnabled;

  /** Bytes that the device wrote to the buffer taken last. */
  long written;

  DriverQueue(DriverQueueOptions options, QueueNotifier notifier) {
    this.index = options.index();
    this.name = options.name();
    this.maxSize = options.size();
    this.tokens = new Object[maxSize];
    this.notifier = Objects.requireNonNull(notifier);
  }

  /**
   * Makes a queue in the format that was negotiated, empty, in memory of its own.
   *
   * @param memory where the rings and indirect tables lie
   * @param notifier the transport's available buffer notification
   * @throws IOException when there is no more shared memory
   */
  public static DriverQueue create(
      DriverQueueOptions options, DriverMemory memory, QueueNotifier notifier) throws IOException {
    return options.features().has(ReservedFeatures.VIRTIO_F_RING_PACKED)
        ? new PackedDriverQueue(options, memory, notifier)
        : new SplitDriverQueue(options, memory, notifier);
  }

  /** The queue's number. */
  public final int index() {
    return index;
  }

  /** The name that its driver gave it. */
  public final String name() {
    return name;
  }

  /** Counters of this queue. */
  public final DriverCounters counters() {
    return counters;
  }

  /** The queue size, in descriptors. */
  public final int size() {
    return size;
  }

  /** The largest size that {@link #reset} can give it. */
  public final int maxSize() {
    return maxSize;
  }

  /** How many descriptors are free. A buffer takes one (indirect) or one for each element. */
  public final int freeCount() {
    return freeCount;
  }

  /** How many buffers were added and have not come back. */
  public final int inFlight() {
    return inFlight;
  }

  /** Where the device finds the queue, and that it starts as after a reset. */
  public abstract QueueLayout layout();

  /**
   * Makes a buffer available, readable elements first; one with only readable or only writable
   * elements is fine. The device need not see it before {@link #kickPrepare}.
   *
   * @param token what {@link #get} returns when the buffer comes back; not null
   * @return false when there are too few free descriptors now
   * @throws PeerFault when the queue is broken
   * @throws IllegalArgumentException for a buffer without elements or with more than the queue can
   *     ever take
   */
  public abstract boolean add(DriverBuffer buffer, Object token) throws PeerFault;

  /**
   * Publishes what was added since the last time, and finds out whether the device wants to be
   * notified (virtio 1.4, Available Buffer Notification Suppression). The half of {@link #kick}
   * that may run under a lock.
   *
   * @return whether {@link #notifyDevice} is due; false for a broken queue
   */
  public abstract boolean kickPrepare();

  /**
   * Sends the available buffer notification: the other half of {@link #kick}.
   *
   * @return false when the queue is broken, or breaks because the device cannot be reached
   */
  public final boolean notifyDevice() {
    if (fault != null) {
      return false;
    }
    if (suspended) {
      dueAfterwards = true;
      return true;
    }
    if (held && holdBack()) {
      return true;
    }
    return sendNotification();
  }

  private boolean sendNotification() {
    try {
      notifier.notifyDevice(this);
      return true;
    } catch (IOException gone) {
      breakQueue(new PeerFault(FaultReason.DEVICE_GONE, index));
      return false;
    }
  }

  /**
   * Holds notifications back: none may be sent before DRIVER_OK (virtio 1.4, Device
   * Initialization), but buffers may be made available. Any thread.
   */
  public final synchronized void holdNotifications() {
    held = true;
  }

  /** Ends {@link #holdNotifications}, and sends what was held back, as one. Any thread. */
  public final void releaseNotifications() {
    boolean due;
    synchronized (this) {
      due = heldBack;
      held = false;
      heldBack = false;
    }
    if (due && fault == null) {
      sendNotification();
    }
  }

  /**
   * Nothing is made available and nothing is notified from here on (virtio 1.4, Device Suspend):
   * {@link #kickPrepare} is false. What is added waits for {@link #resume}; used buffers still come
   * back.
   */
  public final void suspend() {
    suspended = true;
  }

  /** Ends {@link #suspend}: publishes what was added, and notifies the device if it wants that. */
  public final void resume() {
    boolean due = dueAfterwards;
    suspended = false;
    dueAfterwards = false;
    fresh = false;
    if (kickPrepare() || due) {
      notifyDevice();
    }
  }

  final boolean isSuspended() {
    return suspended;
  }

  /**
   * What an available buffer notification carries with VIRTIO_F_NOTIFICATION_DATA (virtio 1.4,
   * Driver Notifications): in bits 16 to 30 the offset where the next buffer will be made
   * available, in bit 31 the wrap counter there; of a split queue together the available idx.
   *
   * @param id goes to bits 0 to 15: the queue's index, or its notification config data
   */
  public final int notificationData(int id) {
    return nextAvailable() << 16 | id & 0xffff;
  }

  /** {@link #notificationData(int)} with the queue's index. */
  public final int notificationData() {
    return notificationData(index);
  }

  /** The next place that will be published, in 15 bits, and the wrap counter above. */
  abstract int nextAvailable();

  // Asked again under the lock, so that none gets stuck behind the release.
  private synchronized boolean holdBack() {
    heldBack |= held;
    return held;
  }

  /**
   * Publishes what was added, and notifies the device if it wants that.
   *
   * @return false when the queue is broken
   */
  public final boolean kick() {
    return kickPrepare() ? notifyDevice() : fault == null;
  }

  /** Whether {@link #get} would return a buffer. */
  public abstract boolean hasUsed();

  /**
   * Takes the next used buffer.
   *
   * @return its token, or null when there is none now
   * @throws PeerFault when the queue is broken, by what the device just wrote or before
   */
  public abstract Object get() throws PeerFault;

  /**
   * How many bytes the device says it wrote, from the start, into the buffer that the last {@link
   * #get} returned; at most what its writable elements hold. On the legacy interface devices are
   * known to set it wrongly, so there it is only clamped.
   */
  public final long writtenLength() {
    return written;
  }

  /**
   * Asks the device for no used buffer notifications; one may still come (virtio 1.4, Used Buffer
   * Notification Suppression).
   */
  public abstract void disableCallback();

  /**
   * Asks for a used buffer notification for the next used buffer.
   *
   * @return false when there is a used buffer already, for which none may come: take it, and enable
   *     again
   */
  public final boolean enableCallback() {
    return !hasUsedSince(prepareCallback());
  }

  /**
   * The first half of {@link #enableCallback}: asks for notifications, and remembers where the used
   * ring was.
   *
   * @return what to hand to {@link #hasUsedSince}
   */
  public abstract int prepareCallback();

  /**
   * The second half: whether a used buffer was there when {@link #prepareCallback} asked, or has
   * come since.
   */
  public abstract boolean hasUsedSince(int position);

  /**
   * As {@link #enableCallback}, but the notification may wait until most of what is in flight has
   * come back. Without VIRTIO_F_EVENT_IDX it is the same.
   *
   * @return false when so many have come back already
   */
  public abstract boolean enableCallbackDelayed();

  /**
   * Whether the device has used every buffer that it took before it stopped. For a transport whose
   * device says where it stops, but may still be at work on what it took. Any thread; it does not
   * wait for the owner and believes the device, so it is a hint and no more.
   *
   * @param position where the device stopped, and would take the next buffer: of a split queue the
   *     available idx, of a packed one the position, and the wrap counter in bit 15; what is above
   *     is ignored
   */
  public abstract boolean hasUsedUpTo(int position);

  /**
   * Takes back a buffer that the device never used. Only for a queue that the device no longer
   * touches: broken and its device reset, or stopped.
   *
   * @return its token, or null when there is none left
   */
  public final Object detachUnused() {
    for (int id = 0; inFlight > 0 && id < size; id++) {
      Object token = tokens[id];
      if (token != null) {
        free(id);
        return token;
      }
    }
    return null;
  }

  /** A buffer is in flight no more. */
  abstract void free(int id);

  /**
   * Empties the queue for a new start from the beginning, whole and not broken. The device must
   * have forgotten it, and all buffers must have come back or been detached. A suspended queue
   * stays so, and may be filled; to reset it again to the same size does nothing then.
   *
   * @param newSize the queue size from now on, up to {@link #maxSize}; a power of two for a split
   *     queue
   * @throws IllegalStateException when buffers are in flight
   */
  public final void reset(int newSize) {
    if (fresh && newSize == size) {
      return;
    }
    if (inFlight != 0) {
      throw new IllegalStateException(inFlight + " buffers are in flight in queue " + index);
    }
    restart(newSize);
    fault = null;
    fresh = suspended;
    dueAfterwards = false;
  }

  abstract void restart(int newSize);

  /** Gives the memory back. The device must have forgotten the queue. */
  public abstract void release();

  /**
   * Declares the queue broken. Any thread; the first reason stays. The owner finds out with its
   * next operation.
   */
  public final void breakQueue(PeerFault reason) {
    synchronized (this) {
      if (fault == null) {
        fault = reason;
      }
    }
  }

  /** Whether the queue is of no more use before a {@link #reset}. Any thread. */
  public final boolean isBroken() {
    return fault != null;
  }

  /** Why the queue is broken, or null. Any thread. */
  public final PeerFault fault() {
    return fault;
  }

  /** Counts a callback. For what runs it. */
  public final void callbackRuns() {
    counters.callbacks++;
  }

  final void checkUsable() throws PeerFault {
    PeerFault reason = fault;
    if (reason != null) {
      throw reason;
    }
  }

  final PeerFault broken(FaultReason reason, long detail) {
    breakQueue(new PeerFault(reason, detail));
    return fault;
  }

  @Override
  public String toString() {
    return "queue " + index + " (" + name + ")";
  }
}
