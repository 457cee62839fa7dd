// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayDeque;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Where a device's notifications are handled: tasks run one at a time, in their order, whatever the
 * executor behind it does. A task given from within a task runs after it.
 */
final class ControlExecutor {
  private static final Logger LOG = System.getLogger(ControlExecutor.class.getName());
  private static final long IDLE_SECONDS = 5;

  private final Executor executor;

  /** Ours, to be shut down; null where the executor was given. */
  private final ThreadPoolExecutor own;

  private final ArrayDeque<Runnable> tasks = new ArrayDeque<>();
  private boolean draining;

  /**
   * @param executor runs the tasks; null for a daemon thread of this device's own, which comes into
   *     being with the first task and ends when there is nothing to do
   */
  ControlExecutor(Executor executor, String name) {
    if (executor == null) {
      own =
          new ThreadPoolExecutor(
              1,
              1,
              IDLE_SECONDS,
              TimeUnit.SECONDS,
              new LinkedBlockingQueue<>(),
              task -> Thread.ofPlatform().daemon().name("control " + name).unstarted(task));
      own.allowCoreThreadTimeOut(true);
      this.executor = own;
    } else {
      own = null;
      this.executor = executor;
    }
  }

  /** Runs a task, soon. Any thread; does nothing once closed. */
  void execute(Runnable task) {
    add(task);
    start();
  }

  /** Gives a task its place; it runs after {@link #start}. Any thread, under any lock. */
  void add(Runnable task) {
    synchronized (tasks) {
      tasks.add(task);
    }
  }

  /** Runs what was added, here and now if the executor does so. Any thread, under no lock. */
  void start() {
    synchronized (tasks) {
      if (draining || tasks.isEmpty()) {
        return;
      }
      draining = true;
    }
    try {
      executor.execute(this::drain);
    } catch (RejectedExecutionException closed) {
      synchronized (tasks) {
        tasks.clear();
        draining = false;
      }
    }
  }

  private void drain() {
    while (true) {
      Runnable task;
      synchronized (tasks) {
        task = tasks.poll();
        if (task == null) {
          draining = false;
          return;
        }
      }
      try {
        task.run();
      } catch (RuntimeException | Error bug) {
        LOG.log(Level.ERROR, "a task of the control plane failed", bug);
      }
    }
  }

  /** What was given still runs; nothing is taken any more. */
  void close() {
    if (own != null) {
      own.shutdown();
    }
  }
}
