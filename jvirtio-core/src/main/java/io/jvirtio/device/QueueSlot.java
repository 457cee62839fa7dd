// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.queue.QueueLayout;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The control plane's view of one queue: configured, enabled, running. Control thread only. */
final class QueueSlot {
  private static final Logger LOG = System.getLogger(QueueSlot.class.getName());

  private final DeviceHost host;
  private final int index;
  private final int maxSize;
  private final QueueCounters counters = new QueueCounters();
  private QueueLayout layout;
  private QueueOwner owner;
  private boolean polling;
  private QueueRunner runner;

  /** Stopped by {@link #suspend}, to go on. */
  private boolean suspended;

  /** Was broken when the device was suspended, and stays so. */
  private boolean brokenBefore;

  QueueSlot(DeviceHost host, int index, int maxSize) {
    this.host = host;
    this.index = index;
    this.maxSize = maxSize;
  }

  int maxSize() {
    return maxSize;
  }

  QueueCounters counters() {
    return counters;
  }

  boolean isRunning() {
    return runner != null;
  }

  /** Whether it runs no more because of a fault. */
  boolean isBroken() {
    return runner != null && runner.isBroken();
  }

  /** Whether it goes on when the device does. */
  boolean isSuspended() {
    return suspended;
  }

  /**
   * Stops until the device is live again; then {@link #startIfReady} goes on.
   *
   * @throws RuntimeException when it does not stop
   */
  void suspend() {
    boolean broken = isBroken();
    boolean running = runner != null;
    stop();
    suspended = running && !broken;
    brokenBefore |= broken;
  }

  /** Stops, and does not go on when the device does. */
  int disable() {
    int next = stop();
    suspended = false;
    return next;
  }

  /** What was suspended does not go on before a reset. */
  void giveUp() {
    brokenBefore |= suspended;
    suspended = false;
  }

  void enable(QueueLayout newLayout, QueueOwner newOwner, boolean poll) {
    if (runner != null || brokenBefore) {
      return;
    }
    layout = newLayout;
    owner = newOwner;
    polling = poll;
    suspended = host.isSuspended();
    startIfReady();
  }

  void startIfReady() {
    if (layout == null || runner != null || brokenBefore || !host.isLive()) {
      return;
    }
    suspended = false;
    try {
      DeviceQueue queue =
          layout.open(
              index, maxSize, host.driverFeatures(), host.memory(), host.bigEndian(), counters);
      runner = onOwner(() -> start(queue));
    } catch (PeerFault fault) {
      host.queueFaulted(index, fault, null);
      host.listener().queueBroken(index, fault);
    }
  }

  private QueueRunner start(DeviceQueue queue) throws PeerFault {
    QueueRunner started;
    try {
      started = new QueueRunner(host, queue, owner, host.listener(), polling);
    } catch (RuntimeException | Error bug) {
      LOG.log(Level.ERROR, "device failed to start queue " + index, bug);
      throw new PeerFault(FaultReason.DEVICE_ERROR, index);
    }
    owner.addSource(started);
    return started;
  }

  int stop() {
    if (runner != null) {
      QueueRunner stopping = runner;
      CompletableFuture<Integer> done = new CompletableFuture<>();
      run(() -> stopping.stop(done));
      int next = await(done);
      // Not before: a queue that did not stop in time still holds on to guest memory.
      runner = null;
      if (layout != null) {
        layout =
            new QueueLayout(
                layout.size(),
                layout.descriptorArea(),
                layout.driverArea(),
                layout.deviceArea(),
                next);
      }
    }
    return layout == null ? 0 : layout.start();
  }

  /** Goes on after {@link #stop}, at the index where it stopped. */
  void resume(QueueLayout moved) {
    if (moved == null) {
      giveUp();
      PeerFault fault = new PeerFault(FaultReason.ADDRESS_OUTSIDE_MEMORY, index);
      host.queueFaulted(index, fault, null);
      host.listener().queueBroken(index, fault);
      return;
    }
    layout =
        new QueueLayout(
            moved.size(),
            moved.descriptorArea(),
            moved.driverArea(),
            moved.deviceArea(),
            layout.start());
    startIfReady();
  }

  /** A running queue gets to know more memory. */
  void growMemory(GuestMemory larger) throws PeerFault {
    if (runner != null) {
      onOwner(
          () -> {
            runner.growMemory(larger);
            return null;
          });
    }
  }

  void forget() {
    layout = null;
    suspended = false;
    brokenBefore = false;
    if (runner == null) { // else it has not stopped, and the next reset tries again
      owner = null;
    }
  }

  private interface OwnerCall<T> {
    T call() throws PeerFault;
  }

  /** On the owner; at once when this thread is the owner, which could not come by otherwise. */
  private void run(Runnable task) {
    if (owner.isOwner()) {
      task.run();
    } else {
      owner.execute(task);
    }
  }

  private <T> T onOwner(OwnerCall<T> call) throws PeerFault {
    CompletableFuture<T> done = new CompletableFuture<>();
    run(
        () -> {
          try {
            done.complete(call.call());
          } catch (PeerFault | RuntimeException | Error failure) {
            done.completeExceptionally(failure);
          }
        });
    try {
      return done.get(host.stopDeadline().toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof PeerFault fault) {
        throw fault;
      }
      throw new IllegalStateException("queue " + index + " did not start", e.getCause());
    } catch (TimeoutException e) {
      throw new IllegalStateException("queue " + index + ": owner does not answer", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while queue " + index + " started", e);
    }
  }

  private int await(CompletableFuture<Integer> done) {
    try {
      if (owner.isOwner()) {
        work(done);
      }
      return done.get(host.stopDeadline().toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException | TimeoutException e) {
      throw new IllegalStateException(
          "queue " + index + " still has requests in flight after " + host.stopDeadline(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while queue " + index + " stopped", e);
    }
  }

  /**
   * Does the owner's work, for what only the owner can end.
   *
   * @throws IllegalStateException when the owner is at work already, up the stack
   */
  private void work(CompletableFuture<Integer> done) throws TimeoutException {
    long start = System.nanoTime();
    while (!done.isDone()) {
      Duration left = host.stopDeadline().minusNanos(System.nanoTime() - start);
      if (!left.isPositive()) {
        throw new TimeoutException();
      }
      // An owner without a way to sleep returns when it is idle; others may still complete.
      if (!owner.runUntil(done::isDone, left)) {
        Thread.onSpinWait();
      }
    }
  }
}
