// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.devices.blk.BlockChannel;
import io.jvirtio.devices.blk.BlockRequest;
import io.jvirtio.linux.Errno;
import java.util.ArrayDeque;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * What the channels to an image have in common: a bounded number of operations, used again and
 * again; operations that wait for a bounce buffer; and workers for calls that block.
 *
 * <p>Owner thread only, except {@link #finished}, which workers fill.
 *
 * <pre>
 *   idle --take--> prepare --start--> under way --completed--> idle
 *                     | no bounce buffer        ^
 *                     +-------> parked ---------+
 * </pre>
 */
abstract class ImageChannel implements BlockChannel {
  private static final Runnable WAKE = () -> {};
  private static final long CLOSE_DEADLINE_NANOS = TimeUnit.SECONDS.toNanos(10);

  private final Image image;
  private final QueueOwner owner;
  private final Workers workers;
  private final BouncePool bounces = new BouncePool();
  private final FileOp[] all;
  private final FileOp[] idle;
  private final ArrayDeque<FileOp> parked = new ArrayDeque<>();
  private final BlockingQueue<FileOp> finished;

  /** How many operations will still come by way of {@link #finished}. */
  private int detours;

  private int made;
  private int idleCount;

  ImageChannel(Image image, QueueOwner owner, Workers workers, int places) {
    this.image = image;
    this.owner = owner;
    this.workers = workers;
    this.all = new FileOp[places];
    this.idle = new FileOp[places];
    this.finished = new ArrayBlockingQueue<>(places);
  }

  /** Starts the call that the operation has prepared. */
  abstract void start(FileOp op);

  /** The operation with this number. */
  final FileOp operation(int number) {
    return all[number];
  }

  final Image image() {
    return image;
  }

  @Override
  public final boolean hasRoom() {
    return idleCount > 0 || made < all.length;
  }

  @Override
  public final void read(BlockRequest request) {
    queue(FileOp.Kind.READ, request);
  }

  @Override
  public final void write(BlockRequest request) {
    queue(FileOp.Kind.WRITE, request);
  }

  @Override
  public final void flush(BlockRequest request) {
    queue(FileOp.Kind.FLUSH, request);
  }

  @Override
  public final void discard(BlockRequest request) {
    queue(FileOp.Kind.DISCARD, request);
  }

  @Override
  public final void writeZeroes(BlockRequest request) {
    queue(FileOp.Kind.WRITE_ZEROES, request);
  }

  @Override
  public final void secureErase(BlockRequest request) {
    queue(FileOp.Kind.SECURE_ERASE, request);
  }

  private void queue(FileOp.Kind kind, BlockRequest request) {
    FileOp op;
    if (idleCount > 0) {
      op = idle[--idleCount];
    } else if (made < all.length) {
      op = new FileOp(image, bounces, made, this::runOnWorker);
      all[made++] = op;
    } else {
      throw new IllegalStateException("channel is full");
    }
    op.begin(kind, request);
    next(op);
  }

  /** Starts the operation's next call. */
  final void next(FileOp op) {
    try {
      if (!op.prepare()) {
        parked.add(op);
        return;
      }
    } catch (InternalError vanished) {
      // The JVM's word for SIGBUS: guest memory was truncated under the copy.
      op.fail(Errno.EFAULT);
      detours++;
      finished.add(op);
      return;
    }
    start(op);
  }

  /** Hands an operation with a prepared call to a worker, which brings it to its end. */
  final void detour(FileOp op) {
    detours++;
    workers.execute(op.task());
  }

  private void runOnWorker(FileOp op) {
    try {
      while (!op.advance(op.perform())) {
        op.prepare();
      }
    } catch (InternalError vanished) {
      op.fail(Errno.EFAULT);
    }
    finished.add(op);
    try {
      owner.execute(WAKE);
    } catch (RejectedExecutionException closed) {
      // The owner polls no more, so nobody waits for this.
    }
  }

  /** A call of the operation has ended, on the owner. */
  final void called(FileOp op, long value) {
    boolean ended;
    try {
      ended = op.advance(value);
    } catch (InternalError vanished) {
      op.fail(Errno.EFAULT);
      ended = true;
    }
    if (ended) {
      complete(op);
    } else {
      next(op);
    }
  }

  private void complete(FileOp op) {
    BlockRequest request = op.end();
    idle[idleCount++] = op;
    if (!parked.isEmpty()) {
      unpark();
    }
    request.completed(op.result());
  }

  private void unpark() {
    FileOp waiting = parked.poll();
    while (waiting != null) {
      int before = parked.size();
      next(waiting);
      waiting = parked.size() > before ? null : parked.poll();
    }
  }

  @Override
  public boolean poll() {
    boolean any = false;
    for (FileOp op = finished.poll(); op != null; op = finished.poll()) {
      any = true;
      detours--;
      complete(op);
    }
    return any;
  }

  @Override
  public boolean arm() {
    return finished.isEmpty();
  }

  /**
   * Waits for workers, of which a broken queue may have left some at work in guest memory.
   *
   * @throws IllegalStateException when they do not end within 10 s
   */
  @Override
  public void close() {
    boolean interrupted = false;
    long deadline = System.nanoTime() + CLOSE_DEADLINE_NANOS;
    while (detours > 0) {
      try {
        FileOp op = finished.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
        if (op == null) {
          throw new IllegalStateException(detours + " operations are still under way");
        }
        detours--;
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    bounces.close();
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
