// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.driver.DriverQueueSet;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * A call that waits: hands its requests to one queue, several at a time, and waits for the last. On
 * the queue's owner it does the owner's work meanwhile; any other thread sleeps.
 */
final class SyncTransfer implements BlkCallback {
  /** How many requests of one call are in flight at a time; bounds its bounce memory too. */
  static final int CONCURRENT = 8;

  /** An owner that has nothing to do waits only for itself; the device may be another thread. */
  private static final long PAUSE_NANOS = 20_000;

  private final BlkDriver driver;
  private final BlkQueue queue;

  /** Null for a single request. */
  private final Splitter splitter;

  private final Thread waiter = Thread.currentThread();
  private final Inbox ended = new Inbox();
  private final BooleanSupplier anyEnded = () -> !ended.isEmpty();
  private int outstanding;

  /** To be told the thread in the end: giving up would not take the memory from the device. */
  private boolean interrupted;

  private IOException failure;

  SyncTransfer(BlkDriver driver, BlkQueue queue, Splitter splitter) {
    this.driver = driver;
    this.queue = queue;
    this.splitter = splitter;
  }

  /** Does one request and throws when it fails. */
  static void single(BlkDriver driver, BlkQueue queue, BlkIo io) throws IOException {
    SyncTransfer transfer = new SyncTransfer(driver, queue, null);
    boolean mine = queue.willRunAsOwner();
    transfer.interrupted = Thread.interrupted();
    transfer.submit(io.onCompletion(transfer));
    transfer.runAll(mine);
  }

  @Override
  public void completed(BlkIo io) {
    ended.add(io);
    LockSupport.unpark(waiter);
  }

  /**
   * Does all of it.
   *
   * @throws IOException when a request failed; the others have ended too
   */
  void run() throws IOException {
    boolean mine = queue.willRunAsOwner();
    interrupted = Thread.interrupted();
    for (int i = 0; i < CONCURRENT; i++) {
      BlkIo io = driver.newIo(false).onCompletion(this);
      if (!submitNext(io)) {
        break;
      }
    }
    runAll(mine);
  }

  private void runAll(boolean mine) throws IOException {
    RequestList list = new RequestList();
    while (outstanding > 0) {
      await(mine);
      ended.drainTo(list);
      while (!list.isEmpty()) {
        BlkIo io = list.remove();
        outstanding--;
        finish(io);
        submitNext(io);
      }
    }
    driver.trimMemory();
    if (interrupted) {
      waiter.interrupt();
    }
    if (failure != null) {
      throw failure;
    }
  }

  private boolean submitNext(BlkIo io) {
    return failure == null && splitter != null && splitter.next(io) && submit(io);
  }

  private boolean submit(BlkIo io) {
    try {
      queue.submit(io);
      outstanding++;
      return true;
    } catch (IOException e) {
      failure = e;
      return false;
    } catch (RuntimeException e) {
      // Such as data whose arena was closed meanwhile; the other requests go on.
      failure = new IOException(io + " was not submitted", e);
      return false;
    }
  }

  private void finish(BlkIo io) {
    io.copyBack();
    try {
      io.check();
    } catch (IOException e) {
      failure = failure == null ? e : failure;
    }
  }

  private void await(boolean mine) throws IOException {
    long start = System.nanoTime();
    long timeout = driver.timeoutNanos();
    long lookAt = timeout;
    while (ended.isEmpty()) {
      long waited = System.nanoTime() - start;
      if (waited >= lookAt) {
        queue.lookForLateMyself();
        lookAt = waited + driver.lookEveryNanos();
        checkOwner(waited, timeout);
      }
      pause(mine, Math.max(1, lookAt - waited));
    }
  }

  private void pause(boolean mine, long nanos) {
    if (mine && queue.runAsOwner(anyEnded, Duration.ofNanos(nanos))) {
      return;
    }
    LockSupport.parkNanos(this, mine ? Math.min(nanos, PAUSE_NANOS) : nanos);
    if (Thread.interrupted()) {
      interrupted = true;
    }
  }

  /** The device had its time, and a device that was lost its time to come back. */
  private void checkOwner(long waited, long timeout) throws IOException {
    long most = 3 * Math.min(timeout, Long.MAX_VALUE / 8) + DriverQueueSet.OWNER_DEADLINE.toNanos();
    if (waited >= most) {
      if (interrupted) {
        waiter.interrupt();
      }
      throw new IOException(
          queue + ": the owner does not answer; it still has the memory of this call");
    }
  }
}
