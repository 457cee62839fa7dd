// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import java.io.IOException;
import java.util.concurrent.CompletableFuture;

/** A call that does not wait: as {@link SyncTransfer}, driven by the callbacks of its requests. */
final class AsyncTransfer implements BlkCallback {
  private final BlkDriver driver;
  private final BlkQueue queue;
  private final Splitter splitter;
  private final CompletableFuture<Void> future = new CompletableFuture<>();

  // Guarded by this: the caller submits while the owner completes.
  private int outstanding;
  private IOException failure;

  AsyncTransfer(BlkDriver driver, BlkQueue queue, Splitter splitter) {
    this.driver = driver;
    this.queue = queue;
    this.splitter = splitter;
  }

  CompletableFuture<Void> start() {
    synchronized (this) {
      for (int i = 0; i < SyncTransfer.CONCURRENT; i++) {
        BlkIo io = driver.newIo(true).onCompletion(this);
        if (!submitNext(io)) {
          break;
        }
      }
      if (outstanding > 0) {
        return future;
      }
    }
    complete();
    return future;
  }

  @Override
  public void completed(BlkIo io) {
    synchronized (this) {
      outstanding--;
      try {
        io.check();
      } catch (IOException e) {
        failure = failure == null ? e : failure;
      }
      submitNext(io);
      if (outstanding > 0) {
        return;
      }
    }
    complete();
  }

  private boolean submitNext(BlkIo io) {
    if (failure != null || !splitter.next(io)) {
      return false;
    }
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

  /** Outside of the lock, since it runs whatever depends on the future. */
  private void complete() {
    if (failure == null) {
      future.complete(null);
    } else {
      future.completeExceptionally(failure);
    }
  }
}
