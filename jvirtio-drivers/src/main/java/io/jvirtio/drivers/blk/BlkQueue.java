// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverCounters;
import io.jvirtio.queue.DriverQueue;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;

/**
 * One request queue of a block device (virtio 1.4, Block Device / Virtqueues), with the thread that
 * owns it.
 *
 * <p>Requests that come in together go out together, with one notification; those for which the
 * ring has no room wait in their order. The device may end them in any order.
 *
 * <pre>
 *   submit --inbox--> waiting --room in the ring--> in flight --used--> callback
 *             FROZEN, or BROKEN with OnLoss.RETRY: everything waits; otherwise it fails
 * </pre>
 */
public final class BlkQueue {
  private static final Logger LOG = System.getLogger(BlkQueue.class.getName());

  /** How often to look again while waiting for an owner that only waits for itself. */
  private static final Duration SLICE = Duration.ofMillis(100);

  private enum Mode {
    RUNNING,
    /** The control plane resets the device. */
    FROZEN,
    BROKEN,
    REMOVED
  }

  private final BlkDriver driver;
  private final int index;
  private final QueueOwner owner;
  private final boolean polled;
  private final Inbox inbox = new Inbox();
  private final BlkCounters counters = new BlkCounters();
  private final Handler handler = new Handler();

  private final BlkRing ring;
  private long keptSince;
  private volatile IOException failure;

  /** Changed on the owner or, while the owner does nothing, by the control plane. */
  private volatile Mode mode = Mode.FROZEN;

  /** Whether the user's thread is within {@link #poll}. */
  private volatile boolean polling;

  /** Whether the owner is to look for requests that take too long. */
  private volatile boolean lookForLate;

  BlkQueue(BlkDriver driver, int index, QueueOwner owner, boolean polled) {
    this.driver = driver;
    this.index = index;
    this.owner = owner;
    this.polled = polled;
    this.ring = new BlkRing(driver, counters);
  }

  /** The queue's number. */
  public int index() {
    return index;
  }

  /** The thread that runs the callbacks. */
  public QueueOwner owner() {
    return owner;
  }

  /** What it has done. Any thread. */
  public BlkStats stats() {
    return counters.stats();
  }

  /**
   * Counters of the virtqueue, among them notifications sent and suppressed, since the device was
   * last set up; null while it is not. Any thread.
   */
  public DriverCounters counters() {
    DriverQueue now = ring.queue();
    return now == null ? null : now.counters();
  }

  /**
   * Gives a request to the device, soon: on the owner, the next time that it comes by. Any thread;
   * takes no lock.
   *
   * @throws IllegalArgumentException when offset or length is no multiple of 512, or the request is
   *     larger than {@link BlkDriver#limits} allow
   * @throws IllegalStateException when it was submitted and has not ended
   * @throws UnsupportedOperationException when the device does not offer the operation
   * @throws IOException when it is outside the capacity, would write to a read-only device, or when
   *     the device is broken or gone. Whenever something is thrown, the request was not taken and
   *     its callback does not run
   */
  public void submit(BlkIo io) throws IOException {
    if (io.isBusy()) {
      throw new IllegalStateException("a request that has not ended");
    }
    driver.checks().check(io);
    if (inbox.isClosed()) {
      throw new IOException(refusal());
    }
    io.submitted();
    boolean taken = false;
    try {
      if (!polled && owner.isOwner()) {
        // On the owner no other thread can look: no need for an atomic operation.
        taken = !inbox.isClosed();
        if (taken) {
          ring.waiting().add(io);
        }
      } else {
        int answer = inbox.add(io);
        taken = answer != Inbox.REFUSED;
        if (answer == Inbox.FIRST) {
          owner.wakeUp();
        }
      }
    } finally {
      if (!taken) {
        io.refused();
      }
    }
    if (!taken) {
      throw new IOException(refusal());
    }
  }

  private String refusal() {
    IOException why = failure;
    return driver.name() + ": " + (why == null ? "the queue is closed" : why.getMessage());
  }

  /**
   * For a driver with {@link BlkDriverOptions#polled}: gives what was submitted to the device, and
   * ends what has come back. Never waits. Owner thread only, and not from a callback.
   *
   * <p>When the device breaks, the failures of requests tell; {@code DriverDevice.recover} then
   * sets it up again.
   *
   * @return whether there was anything to do
   * @throws IllegalStateException when the queue has a callback of its own, or within itself
   */
  public boolean poll() {
    if (!polled || polling) {
      throw new IllegalStateException(polled ? "poll within a callback" : "not a polled queue");
    }
    // Full fences between the two: either the control plane sees that we poll, or we its mode.
    polling = true;
    try {
      return mode == Mode.RUNNING ? pollRunning() : mode == Mode.BROKEN && lateWhenBroken();
    } finally {
      polling = false;
    }
  }

  private boolean pollRunning() {
    DriverQueue queue = ring.queue();
    try {
      if (queue.isBroken()) {
        throw queue.fault();
      }
      return ring.reap() | handler.poll(queue);
    } catch (PeerFault fault) {
      handler.broken(queue, fault);
    } catch (InternalError vanished) {
      handler.broken(queue, new PeerFault(FaultReason.MEMORY_VANISHED, index));
    }
    return true;
  }

  private boolean lateWhenBroken() {
    boolean look = lookForLate;
    if (look) {
      lookForLate = false;
      failLateKept();
    }
    return look;
  }

  /** What runs on the owner. */
  private final class Handler implements UsedBufferHandler {
    @Override
    public void used(DriverQueue queue) throws PeerFault {
      ring.reap();
    }

    @Override
    public boolean poll(DriverQueue queue) throws PeerFault {
      if (mode != Mode.RUNNING) {
        return false;
      }
      if (lookForLate) {
        lookForLate = false;
        ring.checkDeadlines();
      }
      inbox.drainTo(ring.waiting());
      return ring.start();
    }

    @Override
    public boolean arm() {
      return mode != Mode.RUNNING || (inbox.isEmpty() && !ring.canStart());
    }

    @Override
    public void broken(DriverQueue queue, PeerFault fault) {
      if (mode != Mode.RUNNING) {
        // The control plane resets the device, which breaks the queue for good reason.
        return;
      }
      LOG.log(Level.WARNING, "{0}: {1} broke: {2}", driver.name(), queue, fault.getMessage());
      failure = new IOException("the device is broken: " + fault.getMessage(), fault);
      keptSince = System.nanoTime();
      mode = Mode.BROKEN;
      if (driver.options().onLoss() == OnLoss.FAIL) {
        failAll(failure, false);
      }
      driver.broken(fault);
    }
  }

  /**
   * Ends everything there is, and refuses what comes. On the owner or instead of it.
   *
   * @param letGo whether the device does not use the memory of what is in flight any more
   */
  private void failAll(IOException why, boolean letGo) {
    failure = why;
    inbox.closeTo(ring.waiting());
    ring.failAll(why, letGo);
  }

  // ---- deadlines ----

  /** Lets the owner look for requests that take too long. Any thread. */
  void lookForLate() {
    Mode now = mode;
    if (now == Mode.RUNNING) {
      if (ring.inFlight() > 0) {
        lookForLate = true;
        owner.wakeUp();
      }
    } else if (now == Mode.BROKEN || now == Mode.FROZEN) {
      lookForLate = true;
      // An owner without a thread is whoever calls, and that is not this thread's to be.
      if (!polled && !owner.isOwner()) {
        try {
          owner.execute(this::failLateKept);
        } catch (RejectedExecutionException closed) {
          LOG.log(Level.DEBUG, "{0}: the owner of queue {1} is closed", driver.name(), index);
        }
      }
    }
  }

  /** As {@link #lookForLate}, by a caller that waits and may be the owner. */
  void lookForLateMyself() {
    if (mode != Mode.RUNNING && !polled && owner.isOwner()) {
      failLateKept();
    } else {
      lookForLate();
    }
  }

  private void failLateKept() {
    if ((mode == Mode.BROKEN || mode == Mode.FROZEN)
        && System.nanoTime() - keptSince >= driver.timeoutNanos()
        && !inbox.isClosed()) {
      failAll(failure != null ? failure : new IOException("the device was not restored"), false);
    }
  }

  /**
   * Before a request that this thread will wait for.
   *
   * @return whether this thread is the owner
   * @throws IllegalStateException when it is, and has its own work to do
   */
  boolean willRunAsOwner() {
    boolean mine = owner.isOwner();
    if (mine && polled && polling) {
      throw new IllegalStateException("a call that waits, within a callback");
    }
    if (mine && !polled) {
      owner.runUntil(() -> true, Duration.ZERO);
    }
    return mine;
  }

  /** Does the owner's work on this thread until a condition holds; false after a while. */
  boolean runAsOwner(BooleanSupplier done, Duration most) {
    Duration slice = most.compareTo(SLICE) < 0 ? most : SLICE;
    if (!polled) {
      return owner.runUntil(done, slice);
    }
    long start = System.nanoTime();
    boolean holds = done.getAsBoolean();
    while (!holds && System.nanoTime() - start < slice.toNanos()) {
      if (!poll()) {
        Thread.onSpinWait();
      }
      holds = done.getAsBoolean();
    }
    return holds;
  }

  // ---- control plane ----

  /** The callback that the transport is to run; null when the user polls. */
  UsedBufferHandler handler() {
    return polled ? null : handler;
  }

  /** Nothing more is given to the device. */
  void freeze() {
    keptSince = System.nanoTime();
    mode = Mode.FROZEN;
  }

  /**
   * The device has been reset: what was in flight waits again, before everything else; or fails, if
   * that is what becomes of it.
   *
   * @param letGo whether the device uses no memory any more
   */
  void keepOrFail(boolean lost, boolean letGo) {
    exclusively(
        () -> {
          // The owner may have set another one meanwhile.
          mode = Mode.FROZEN;
          if (lost && driver.options().onLoss() == OnLoss.FAIL) {
            IOException why = failure == null ? new IOException("the device is gone") : failure;
            failAll(why, letGo);
          } else {
            ring.startAgain();
          }
          detach(letGo);
        });
  }

  private void detach(boolean letGo) {
    MemorySegment memory = ring.detach();
    if (memory != null) {
      driver.release(memory, letGo);
    }
  }

  /** The device has a new virtqueue for this queue; it does not run yet. */
  void attach(DriverQueue queue, int ranges, boolean swap) throws IOException {
    int elements = driver.limits().maxSegments() + BlkInfo.HEADER_AND_STATUS;
    if (queue.size() < elements) {
      throw new IOException(
          driver.name() + ": " + queue + " has size " + queue.size() + ", not " + elements);
    }
    BlkSlots slots = new BlkSlots(driver.memory(), queue.size(), ranges, swap);
    exclusively(
        () -> {
          ring.attach(queue, slots, elements);
          if (polled) {
            queue.disableCallback();
          }
        });
  }

  /** The device is live: goes on with what waits. */
  void run() {
    exclusively(
        () -> {
          failure = null;
          lookForLate = false;
          inbox.open();
          mode = Mode.RUNNING;
          // One that broke before it ran has told nobody: its callback heeds no queue but a running
          // one.
          DriverQueue queue = ring.queue();
          if (!polled && queue.isBroken()) {
            handler.broken(queue, queue.fault());
          }
        });
    owner.wakeUp();
  }

  /** Refuses everything from now on. */
  void remove() {
    mode = Mode.REMOVED;
  }

  /**
   * Ends everything there is.
   *
   * @param letGo whether the device uses no memory any more
   */
  void removed(boolean letGo) {
    exclusively(
        () -> {
          mode = Mode.REMOVED;
          failAll(new IOException("the driver was removed"), letGo);
          detach(letGo);
        });
  }

  /** Whether the device broke. Control thread. */
  boolean isBroken() {
    DriverQueue queue = ring.queue();
    return mode == Mode.BROKEN || (queue != null && queue.isBroken());
  }

  /** Runs something with what belongs to the owner, on the owner while it has a thread. */
  private void exclusively(Runnable task) {
    if (polled) {
      awaitPoll();
      task.run();
      return;
    }
    AtomicBoolean ran = new AtomicBoolean();
    Runnable once =
        () -> {
          if (ran.compareAndSet(false, true)) {
            task.run();
          }
        };
    try {
      DriverQueueSet.onOwner(owner, once);
    } catch (IOException stuck) {
      LOG.log(Level.WARNING, "{0} queue {1}: {2}", driver.name(), index, stuck.getMessage());
    }
    // An owner that has ended, or does not come back: nobody else does its work.
    once.run();
  }

  /** Until the user's thread is not within poll; it does nothing there once it sees the mode. */
  private void awaitPoll() {
    long start = System.nanoTime();
    while (polling) {
      if (System.nanoTime() - start > DriverQueueSet.OWNER_DEADLINE.toNanos()) {
        LOG.log(Level.WARNING, "{0} queue {1}: a poll does not return", driver.name(), index);
        return;
      }
      Thread.onSpinWait();
    }
  }

  @Override
  public String toString() {
    return driver.name() + " queue " + index + " " + mode;
  }
}
