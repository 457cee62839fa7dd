// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.device.EventSource;
import io.jvirtio.device.QueueOwner;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * A queue owner with a thread of its own, for devices whose requests end on other threads, and for
 * reset with requests in flight. Sleeps when its sources are idle, until {@link #wake} or a task.
 *
 * <p>It knows no epoll: while a source watches a file descriptor, it looks again every millisecond.
 */
public final class ThreadOwner implements QueueOwner, AutoCloseable {
  private static final long LOOK_AGAIN_NANOS = TimeUnit.MILLISECONDS.toNanos(1);

  private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
  private final List<EventSource> sources = new ArrayList<>();
  private final Thread thread;
  private int watched;
  private volatile boolean woken;
  private volatile boolean closed;
  private volatile Throwable failure;

  /** Starts the thread, a daemon. */
  public ThreadOwner(String name) {
    thread = Thread.ofPlatform().daemon().name(name).start(this::loop);
  }

  private void loop() {
    while (!closed || !tasks.isEmpty()) {
      try {
        round();
      } catch (RuntimeException | Error e) {
        if (failure == null) {
          failure = e;
        }
      }
    }
  }

  private void round() {
    woken = false;
    boolean worked = runTasks();
    for (EventSource source : List.copyOf(sources)) {
      worked |= source.poll();
    }
    if (!worked) {
      sleep();
    }
  }

  private boolean runTasks() {
    boolean any = false;
    for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
      task.run();
      any = true;
    }
    return any;
  }

  private void sleep() {
    boolean armed = true;
    for (EventSource source : sources) {
      armed &= source.arm();
    }
    while (armed && !woken && tasks.isEmpty() && !closed) {
      if (watched > 0) {
        LockSupport.parkNanos(this, LOOK_AGAIN_NANOS);
        break;
      }
      LockSupport.park(this);
    }
    for (EventSource source : sources) {
      source.disarm();
    }
  }

  /** The driver's available buffer notification. Any thread. */
  public void wake() {
    woken = true;
    LockSupport.unpark(thread);
  }

  @Override
  public void wakeUp() {
    wake();
  }

  /**
   * Always refused: the thread of this owner is in its loop already.
   *
   * @throws IllegalStateException always
   */
  @Override
  public boolean runUntil(BooleanSupplier done, Duration deadline) {
    throw new IllegalStateException(thread.getName() + " runs its own loop");
  }

  @Override
  public void execute(Runnable task) {
    if (closed) {
      throw new RejectedExecutionException("owner is closed");
    }
    tasks.add(task);
    wake();
  }

  @Override
  public boolean isOwner() {
    return Thread.currentThread() == thread;
  }

  @Override
  public void addSource(EventSource source) {
    sources.add(source);
  }

  @Override
  public void removeSource(EventSource source) {
    sources.remove(source);
  }

  @Override
  public void watch(int fd) {
    watched++;
  }

  @Override
  public void unwatch(int fd) {
    watched--;
  }

  /**
   * Ends the thread, after the tasks that are queued, and waits for it. Idempotent.
   *
   * @throws IllegalStateException when a task or a source has thrown; the thread went on
   */
  @Override
  public void close() {
    closed = true;
    LockSupport.unpark(thread);
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    if (failure != null) {
      Throwable first = failure;
      failure = null;
      throw new IllegalStateException("a task or a source of the owner has thrown", first);
    }
  }
}
