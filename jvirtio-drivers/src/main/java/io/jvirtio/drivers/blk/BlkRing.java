// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;

/**
 * The requests of one queue between its inbox and their end: those that wait for room in the ring,
 * and those that the device has. Owner only; or the control plane, while the owner does nothing.
 */
final class BlkRing {
  private static final Logger LOG = System.getLogger(BlkRing.class.getName());

  private final BlkDriver driver;
  private final BlkCounters counters;
  private final RequestList waiting = new RequestList();
  private BlkSlots slots;
  private DriverQueue queue;
  private DriverBuffer buffer;

  /** Whether the first that waits has found no room since something last came back. */
  private boolean full;

  BlkRing(BlkDriver driver, BlkCounters counters) {
    this.driver = driver;
    this.counters = counters;
  }

  /** The device has a new virtqueue for this queue. */
  void attach(DriverQueue ring, BlkSlots fresh, int elements) {
    queue = ring;
    slots = fresh;
    buffer = new DriverBuffer(driver.memory(), elements);
    full = false;
  }

  /**
   * The virtqueue is gone.
   *
   * @return the memory of the slots; null when there was none
   */
  MemorySegment detach() {
    MemorySegment memory = slots == null ? null : slots.memory();
    slots = null;
    queue = null;
    return memory;
  }

  /** The virtqueue, or null. Other threads may see an older one. */
  DriverQueue queue() {
    return queue;
  }

  /** How many requests the device has. Other threads may see an older number. */
  int inFlight() {
    BlkSlots now = slots;
    return now == null ? 0 : now.taken();
  }

  /** What waits, for more to be added. */
  RequestList waiting() {
    return waiting;
  }

  /** Whether there is something that could be given to the device. */
  boolean canStart() {
    return !waiting.isEmpty() && !full;
  }

  /**
   * Makes waiting requests available, as many as the ring takes, and notifies once.
   *
   * @return whether there was any
   */
  boolean start() throws PeerFault {
    if (!canStart()) {
      return false;
    }
    boolean added = false;
    long now = System.nanoTime();
    while (canStart()) {
      BlkIo io = waiting.remove();
      if (answeredHere(io)) {
        continue;
      }
      io.startedAt = now;
      if (add(io)) {
        added = true;
      } else {
        waiting.addFirst(io);
        full = true;
      }
    }
    if (added) {
      queue.kick();
    }
    return true;
  }

  private boolean add(BlkIo io) throws PeerFault {
    if (!slots.take(io)) {
      return false;
    }
    slots.describe(io, buffer, driver.limits().maxSegmentBytes());
    if (!queue.add(buffer, io)) {
      slots.give(io);
      return false;
    }
    return true;
  }

  /** Requests that do not reach the device. */
  private boolean answeredHere(BlkIo io) {
    if (io.operation() == BlkOperation.FLUSH && !driver.canFlush()) {
      // Without VIRTIO_BLK_F_FLUSH completed writes are taken for stable.
      end(io, VirtioBlk.VIRTIO_BLK_S_OK, null, true);
      return true;
    }
    IOException outside = driver.checks().outsideCapacity(io);
    if (outside != null) {
      // The device has shrunk while it waited.
      end(io, BlkIo.STATUS_NONE, outside, true);
      return true;
    }
    return false;
  }

  /**
   * Ends what has come back.
   *
   * @return whether there was any
   */
  boolean reap() throws PeerFault {
    boolean any = false;
    for (Object token = queue.get(); token != null; token = queue.get()) {
      any = true;
      full = false;
      answered((BlkIo) token, queue.writtenLength());
    }
    return any;
  }

  private void answered(BlkIo io, long written) {
    int status = slots.status(io);
    slots.give(io);
    if (status > VirtioBlk.VIRTIO_BLK_S_UNSUPP) {
      lied(io, "the device answered with status " + status);
    } else if (status == VirtioBlk.VIRTIO_BLK_S_OK
        && io.operation().isInput()
        && written < io.bytes()
        && driver.believesLengths()) {
      lied(io, "the device wrote " + written + " of " + io.bytes() + " bytes");
    } else {
      end(io, status, null, true);
    }
  }

  private void lied(BlkIo io, String how) {
    end(io, BlkIo.STATUS_NONE, new IOException(how), true);
  }

  /** The one end of all requests. */
  private void end(BlkIo io, int status, IOException why, boolean letGo) {
    counters.ended(io.operation(), io.bytes(), status);
    BlkCallback callback = io.callback();
    io.ended(status, why, letGo);
    if (callback != null) {
      try {
        callback.completed(io);
      } catch (RuntimeException | Error bug) {
        LOG.log(Level.ERROR, driver.name() + ": the callback of a request failed", bug);
      }
    }
  }

  /**
   * Ends everything there is.
   *
   * @param letGo whether the device does not use the memory of what is in flight any more
   */
  void failAll(IOException why, boolean letGo) {
    // Callbacks may do anything, so everything is off the lists before the first of them.
    RequestList inFlight = takeInFlight();
    RequestList others = new RequestList();
    waiting.moveTo(others);
    while (!inFlight.isEmpty()) {
      end(inFlight.remove(), BlkIo.STATUS_NONE, why, letGo);
    }
    while (!others.isEmpty()) {
      end(others.remove(), BlkIo.STATUS_NONE, why, true);
    }
  }

  /** What was in flight waits again, before everything else. */
  void startAgain() {
    RequestList all = takeInFlight();
    waiting.moveTo(all);
    all.moveTo(waiting);
  }

  private RequestList takeInFlight() {
    RequestList list = new RequestList();
    if (slots != null) {
      slots.takeAll(list);
    }
    return list;
  }

  /**
   * Looks for a request that takes too long.
   *
   * @throws PeerFault when there is one
   */
  void checkDeadlines() throws PeerFault {
    long now = System.nanoTime();
    for (int i = 0; i < slots.count(); i++) {
      BlkIo io = slots.get(i);
      if (io != null && now - io.startedAt >= driver.timeoutNanos()) {
        throw new PeerFault(FaultReason.DEVICE_SILENT, queue.index());
      }
    }
  }
}
