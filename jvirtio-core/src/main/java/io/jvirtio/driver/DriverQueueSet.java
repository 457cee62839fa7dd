// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.queue.QueueNotifier;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiConsumer;

/**
 * The queues of one transport and where they run: what all transports do alike. For implementers of
 * {@link DriverTransport}; control thread only unless said otherwise.
 */
public final class DriverQueueSet {
  /** How long an owner may take to answer the control plane. */
  public static final Duration OWNER_DEADLINE = Duration.ofSeconds(10);

  private static final class Entry {
    final QueueRequest request;
    final DriverQueue queue;
    final DriverQueueRunner runner;

    /** Written by the control thread. Whoever breaks the queue must not wake an old owner. */
    volatile QueueOwner owner;

    boolean running;

    Entry(QueueRequest request, DriverQueue queue, DriverQueueRunner runner) {
      this.request = request;
      this.queue = queue;
      this.runner = runner;
      this.owner = request.owner();
    }
  }

  private final DriverMemory memory;
  private final QueueNotifier notifier;
  private final BiConsumer<Integer, PeerFault> onBroken;
  private final Duration ownerDeadline;

  /** Replaced as a whole, since any thread may break the queues. */
  private volatile List<Entry> entries = List.of();

  /**
   * No queues yet.
   *
   * @param onBroken hears of a queue that broke, on its owner
   */
  public DriverQueueSet(
      DriverMemory memory, QueueNotifier notifier, BiConsumer<Integer, PeerFault> onBroken) {
    this(memory, notifier, onBroken, OWNER_DEADLINE);
  }

  /**
   * No queues yet.
   *
   * @param ownerDeadline how long an owner may take to answer, positive
   */
  public DriverQueueSet(
      DriverMemory memory,
      QueueNotifier notifier,
      BiConsumer<Integer, PeerFault> onBroken,
      Duration ownerDeadline) {
    this.memory = memory;
    this.notifier = notifier;
    this.onBroken = onBroken;
    this.ownerDeadline = ownerDeadline;
  }

  /** Whether there are none. */
  public boolean isEmpty() {
    return entries.isEmpty();
  }

  /** Makes one more queue; it does not run yet. */
  public DriverQueue add(QueueRequest request, DriverQueueOptions options) throws IOException {
    DriverQueue queue = DriverQueue.create(options, memory, notifier);
    DriverQueueRunner runner =
        request.handler() == null ? null : new DriverQueueRunner(queue, request.handler(), this);
    List<Entry> more = new ArrayList<>(entries);
    more.add(new Entry(request, queue, runner));
    entries = List.copyOf(more);
    return queue;
  }

  /** The queue with this number, or null. */
  public DriverQueue queue(int index) {
    Entry entry = find(index);
    return entry == null ? null : entry.queue;
  }

  /** The owner of the queue with this number. */
  public QueueOwner owner(int index) {
    return Objects.requireNonNull(find(index)).owner;
  }

  /** Whether the queue with this number has a callback, so that the device is to notify. */
  public boolean hasCallback(int index) {
    return Objects.requireNonNull(find(index)).runner != null;
  }

  private Entry find(int index) {
    for (Entry entry : entries) {
      if (entry.queue.index() == index) {
        return entry;
      }
    }
    return null;
  }

  /** Lets the callback of a queue, which is new or was reset, run from now on. */
  public void start(int index) throws IOException {
    run(Objects.requireNonNull(find(index)), true);
  }

  private void run(Entry entry, boolean anew) throws IOException {
    if (entry.runner == null || entry.running) {
      return;
    }
    QueueOwner owner = entry.owner;
    // Also when the owner does not answer in time: it may still come to it, and only stop, which
    // it then comes to later, takes that back.
    entry.running = true;
    onOwner(
        owner,
        () -> {
          if (anew) {
            entry.runner.restarted();
          }
          owner.addSource(entry.runner);
        },
        ownerDeadline);
  }

  /** The callback of a queue does not run any more when this returns. */
  public void stop(int index) throws IOException {
    Entry entry = Objects.requireNonNull(find(index));
    if (entry.running) {
      QueueOwner owner = entry.owner;
      onOwner(owner, () -> owner.removeSource(entry.runner), ownerDeadline);
      entry.running = false;
    }
  }

  /** Moves a queue to another owner. One that is broken stays so, and is not told again. */
  public void setOwner(int index, QueueOwner owner) throws IOException {
    Entry entry = Objects.requireNonNull(find(index));
    Objects.requireNonNull(owner);
    boolean running = entry.running;
    stop(index);
    entry.owner = owner;
    if (running) {
      run(entry, false);
    }
  }

  /** Waits until every owner has come by. */
  public void synchronize() throws IOException {
    for (Entry entry : entries) {
      onOwner(entry.owner, () -> {}, ownerDeadline);
    }
  }

  /** Breaks all queues and wakes their owners, who tell the handlers. Any thread. */
  public void breakAll(PeerFault fault) {
    for (Entry entry : entries) {
      entry.queue.breakQueue(fault);
      entry.owner.wakeUp();
    }
  }

  /** Breaks one queue and wakes its owner, who tells the handler. Any thread. */
  public void breakQueue(int index, PeerFault fault) {
    Entry entry = find(index);
    if (entry != null) {
      entry.queue.breakQueue(fault);
      entry.owner.wakeUp();
    }
  }

  /**
   * Stops all callbacks and frees the memory of the queues. The device must have let go of them.
   * What is still in flight is forgotten, and the queues are broken for whoever still holds them.
   *
   * @throws IOException when an owner does not let go of its queue: its memory is then kept
   */
  public void delete() throws IOException {
    List<Entry> old = entries;
    IOException stuck = null;
    for (Entry entry : old) {
      try {
        stop(entry.queue.index());
        entry.queue.release();
      } catch (IOException e) {
        stuck = e;
      } finally {
        entry.queue.breakQueue(new PeerFault(FaultReason.DEVICE_GONE, entry.queue.index()));
      }
    }
    entries = List.of();
    if (stuck != null) {
      throw stuck;
    }
  }

  void queueBroken(int index, PeerFault fault) {
    onBroken.accept(index, fault);
  }

  /**
   * Runs something on an owner and waits for it; at once when this thread is the owner.
   *
   * @throws IOException when the owner does not answer in {@link #OWNER_DEADLINE}
   */
  public static void onOwner(QueueOwner owner, Runnable task) throws IOException {
    onOwner(owner, task, OWNER_DEADLINE);
  }

  private static void onOwner(QueueOwner owner, Runnable task, Duration deadline)
      throws IOException {
    if (owner.isOwner()) {
      task.run();
      return;
    }
    CompletableFuture<Void> done = new CompletableFuture<>();
    try {
      owner.execute(
          () -> {
            try {
              task.run();
              done.complete(null);
            } catch (RuntimeException | Error failure) {
              done.completeExceptionally(failure);
            }
          });
      done.get(deadline.toMillis(), TimeUnit.MILLISECONDS);
    } catch (RejectedExecutionException closed) {
      // An owner that has ended runs nothing, so there is nothing to wait for.
      return;
    } catch (ExecutionException e) {
      throw new IllegalStateException("on the owner of a queue", e.getCause());
    } catch (TimeoutException e) {
      throw new IOException("the owner of a queue does not answer for " + deadline, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted while waiting for the owner of a queue", e);
    }
  }
}
