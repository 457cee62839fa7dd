// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.queue.QueueLayout;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
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

  void enable(QueueLayout newLayout, QueueOwner newOwner, boolean poll) {
    if (runner != null) {
      return;
    }
    layout = newLayout;
    owner = newOwner;
    polling = poll;
    startIfReady();
  }

  void startIfReady() {
    if (layout == null || runner != null || !host.isLive()) {
      return;
    }
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
      owner.execute(() -> stopping.stop(done));
      int next = await(done);
      // Not before: a queue that did not stop in time still holds on to guest memory.
      runner = null;
      layout =
          new QueueLayout(
              layout.size(),
              layout.descriptorArea(),
              layout.driverArea(),
              layout.deviceArea(),
              next);
    }
    return layout == null ? 0 : layout.start();
  }

  /** Goes on after {@link #stop}, at the index where it stopped. */
  void resume(QueueLayout moved) {
    if (moved == null) {
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

  void forget() {
    layout = null;
    owner = null;
  }

  private interface OwnerCall<T> {
    T call() throws PeerFault;
  }

  private <T> T onOwner(OwnerCall<T> call) throws PeerFault {
    CompletableFuture<T> done = new CompletableFuture<>();
    owner.execute(
        () -> {
          try {
            done.complete(call.call());
          } catch (PeerFault | RuntimeException | Error failure) {
            done.completeExceptionally(failure);
          }
        });
    try {
      return done.get(DeviceHost.STOP_DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
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
      return done.get(DeviceHost.STOP_DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException | TimeoutException e) {
      throw new IllegalStateException(
          "queue " + index + " still has requests in flight after " + DeviceHost.STOP_DEADLINE, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while queue " + index + " stopped", e);
    }
  }
}
