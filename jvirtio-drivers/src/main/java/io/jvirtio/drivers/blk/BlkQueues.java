// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.queue.DriverQueue;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * All queues of a block driver, and what happens to them together. Control plane, unless said
 * otherwise.
 */
final class BlkQueues {
  private final DriverDevice device;
  private final BlkInfo info;
  private final BouncePool pool;
  private final long lookEveryNanos;
  private final List<BlkQueue> queues;
  private volatile boolean removed;

  BlkQueues(BlkDriver driver, BlkInfo info, BouncePool pool) {
    this.device = driver.device();
    this.info = info;
    this.pool = pool;
    this.lookEveryNanos = driver.lookEveryNanos();
    BlkDriverOptions options = driver.options();
    List<BlkQueue> all = new ArrayList<>();
    for (int i = 0; i < info.queues(); i++) {
      all.add(
          new BlkQueue(
              driver, i, options.owners().get(i % options.owners().size()), options.polled()));
    }
    this.queues = List.copyOf(all);
  }

  /** The queues. Any thread. */
  List<BlkQueue> list() {
    return queues;
  }

  /** The queue for this thread: one that it owns, or else always the same. Any thread. */
  BlkQueue ofThisThread() {
    if (queues.size() == 1) {
      return queues.getFirst();
    }
    for (int i = 0; i < queues.size(); i++) {
      if (queues.get(i).owner().isOwner()) {
        return queues.get(i);
      }
    }
    return queues.get((int) (Thread.currentThread().threadId() % queues.size()));
  }

  /** Whether the device uses no memory but that of requests it has been given. Any thread. */
  boolean isWhole() {
    boolean whole = device.state() != DriverDevice.State.LOST;
    for (BlkQueue queue : queues) {
      whole &= !queue.isBroken();
    }
    return whole;
  }

  /**
   * Makes the virtqueues, and goes live.
   *
   * @param writeback what to set the cache to; null for nothing
   */
  void start(Boolean writeback) throws IOException {
    BlkLimits limits = info.limits();
    List<QueueRequest> requests = new ArrayList<>();
    for (BlkQueue queue : queues) {
      requests.add(
          new QueueRequest(
              "requestq" + (queue.index() + 1),
              info.queueSize(),
              limits.maxSegments() + BlkInfo.HEADER_AND_STATUS,
              queue.handler(),
              queue.owner()));
    }
    int ranges =
        Math.max(
            limits.maxDiscardRanges(),
            Math.max(limits.maxWriteZeroesRanges(), limits.maxSecureEraseRanges()));
    boolean swap = device.transport().isLegacy() && device.transport().isBigEndian();
    List<DriverQueue> rings = device.findQueues(requests);
    for (BlkQueue queue : queues) {
      queue.attach(rings.get(queue.index()), ranges, swap);
    }
    device.ready();
    if (writeback != null) {
      device.config().set("writeback", writeback ? 1 : 0);
    }
    for (BlkQueue queue : queues) {
      queue.run();
    }
  }

  /** The device is reset; what it had waits, or fails. */
  void freeze() {
    boolean lost = false;
    for (BlkQueue queue : queues) {
      lost |= queue.isBroken();
      queue.freeze();
    }
    boolean letGo = reset();
    for (BlkQueue queue : queues) {
      queue.keepOrFail(lost || !letGo, letGo);
    }
  }

  /** Whether the device was reset, so that it uses no memory any more; a lost one may. */
  private boolean reset() {
    device.resetAndDelete();
    boolean letGo = device.state() != DriverDevice.State.LOST;
    if (letGo) {
      pool.deviceWasReset();
    }
    return letGo;
  }

  /** The device is reset; everything fails. */
  void remove() {
    removed = true;
    for (BlkQueue queue : queues) {
      queue.remove();
    }
    boolean letGo = reset();
    for (BlkQueue queue : queues) {
      queue.removed(letGo);
    }
  }

  /** Lets the owners look for requests that take too long, now and then, until it is removed. */
  void watch() {
    CompletableFuture.delayedExecutor(lookEveryNanos, TimeUnit.NANOSECONDS)
        .execute(
            () -> {
              if (!removed) {
                queues.forEach(BlkQueue::lookForLate);
                watch();
              }
            });
  }
}
