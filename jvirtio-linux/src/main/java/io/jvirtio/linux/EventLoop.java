// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.device.EventSource;
import io.jvirtio.device.QueueOwner;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * A queue owner that runs tasks, polls sources, and sleeps when there is nothing to do: on a thread
 * of its own ({@link #start}), or on the thread that makes it, in {@link #turn} and {@link
 * #runUntil} ({@link #onCaller}).
 *
 * <pre>
 *   +--&gt; tasks --&gt; poll sources --worked--&gt; (again)
 *   |                 | idle
 *   |                 +--mode polls on--&gt; (again)
 *   |                 | else
 *   |              sleeping := true, fence [A]
 *   |              task there, or arm() false? --yes--+
 *   |                 | no                            |
 *   |              epoll_wait                         |
 *   |                 |                               |
 *   +----------- sleeping := false, disarm() &lt;--------+
 * </pre>
 *
 * <p>Barrier pair [A]: whoever posts stores the task, fences, and loads {@code sleeping}; the owner
 * stores {@code sleeping}, fences, and looks for tasks and work. One of them sees the other, so no
 * wake-up is lost, and a task posted to a loop that is awake costs no system call.
 *
 * <p>A loop on its caller counts as awake between turns: peers are not asked for notifications, and
 * what they leave meanwhile is found by the next turn, which polls every source before it sleeps.
 *
 * <p>Nothing that a task or source throws ends the loop. An iteration allocates nothing.
 */
public final class EventLoop implements QueueOwner, AutoCloseable {
  /** How long {@link LoopMode#ADAPTIVE} polls after the last work, unless told otherwise. */
  public static final Duration DEFAULT_POLL_WINDOW = Duration.ofNanos(50_000);

  private static final Duration JOIN_LIMIT = Duration.ofSeconds(10);

  // So that a flood of tasks does not keep the sources waiting.
  private static final int TASK_BATCH = 256;
  private static final VarHandle SLEEPING;

  static {
    try {
      SLEEPING =
          MethodHandles.lookup()
              .findVarHandle(EventLoop.class, "sleeping", boolean.class)
              .withInvokeExactBehavior();
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private final LoopMode mode;
  private final FaultReporter faults;
  private final Sources sources;
  private final PollWindow window;
  private final ConcurrentLinkedQueue<Runnable> tasks = new ConcurrentLinkedQueue<>();
  private final Epoll epoll;
  private final Waker wake;
  private final Thread thread;
  private final boolean onCaller;

  private volatile boolean sleeping;
  private volatile boolean closing;
  private volatile boolean ended;

  // Owner only.
  private boolean idle;
  private long idleSince;
  private boolean turning;

  // With null for a name, on the current thread.
  private EventLoop(String name, LoopMode mode, Duration pollWindow, FaultHandler faults)
      throws LinuxException {
    this.onCaller = name == null;
    this.thread =
        onCaller
            ? Thread.currentThread()
            : Thread.ofPlatform().daemon().name(name).unstarted(this::run);
    this.mode = Objects.requireNonNull(mode);
    this.faults = new FaultReporter(faults, thread.getName());
    this.sources = new Sources(this.faults);
    this.window = new PollWindow(pollWindow.toNanos());
    this.wake = new Waker();
    try {
      this.epoll = new Epoll();
    } catch (LinuxException e) {
      wake.close();
      throw e;
    }
    this.epoll.add(wake.value());
  }

  /**
   * Starts a loop with the {@linkplain #DEFAULT_POLL_WINDOW usual} poll window.
   *
   * @param name of the thread
   * @throws LinuxException when the process has no more room for descriptors
   */
  public static EventLoop start(String name, LoopMode mode, FaultHandler faults)
      throws LinuxException {
    return start(name, mode, DEFAULT_POLL_WINDOW, faults);
  }

  /**
   * Starts a loop.
   *
   * @param name of the thread
   * @param pollWindow the longest time to poll after the last work, in {@link LoopMode#ADAPTIVE}; 0
   *     or more
   * @param faults learns what tasks and sources throw
   * @throws LinuxException when the process has no more room for descriptors
   */
  public static EventLoop start(
      String name, LoopMode mode, Duration pollWindow, FaultHandler faults) throws LinuxException {
    EventLoop loop = new EventLoop(Objects.requireNonNull(name), mode, pollWindow, faults);
    loop.thread.start();
    return loop;
  }

  /**
   * Makes a loop without a thread: the current thread is the owner and runs it by {@link #turn} and
   * {@link #runUntil}, so that a request needs no other thread to submit and complete it. The
   * parameters are those of {@link #start(String, LoopMode, Duration, FaultHandler)}; the poll
   * window begins anew with each call.
   *
   * @throws LinuxException when the process has no more room for descriptors
   */
  public static EventLoop onCaller(LoopMode mode, Duration pollWindow, FaultHandler faults)
      throws LinuxException {
    return new EventLoop(null, mode, pollWindow, faults);
  }

  /**
   * Runs a task on the owner, in the order of the calls; posted by the owner itself, after the
   * running task. Any thread.
   *
   * @throws RejectedExecutionException once {@link #close} was called; the owner itself may still
   *     post until the loop has ended
   */
  @Override
  public void execute(Runnable task) {
    Objects.requireNonNull(task);
    if (closing && !isOwner()) {
      throw new RejectedExecutionException(thread.getName() + " is closed");
    }
    tasks.add(task);
    wakeUp();
    // Pair [B] with end(): either this sees that the loop has ended, or its last look sees the
    // task.
    if (ended && tasks.remove(task)) {
      throw new RejectedExecutionException(thread.getName() + " is closed");
    }
  }

  @Override
  public void wakeUp() {
    VarHandle.fullFence(); // [A] the work is stored before sleeping is loaded
    if (sleeping && SLEEPING.compareAndSet(this, true, false)) {
      wake.wake();
    }
  }

  /**
   * {@inheritDoc}
   *
   * <p>Only a loop made by {@link #onCaller} can do this. Returns early when a callback closes the
   * loop. A sleep ends up to a millisecond after the deadline.
   *
   * @throws IllegalStateException also when closed
   */
  @Override
  public boolean runUntil(BooleanSupplier done, Duration deadline) {
    long end = Sockets.deadline(Objects.requireNonNull(deadline));
    begin();
    try {
      // Judged before the turn, so that the last one finds what came in time.
      for (boolean over = false; !done.getAsBoolean(); ) {
        if (over || closing) {
          return false;
        }
        over = isOver(end);
        iterate(end);
      }
      return true;
    } finally {
      leave();
    }
  }

  /**
   * Does what there is to do: one round of tasks and sources. When there is nothing, waits for it
   * as the mode says, also through wake-ups that bring nothing. Owner thread only, of a loop made
   * by {@link #onCaller}.
   *
   * @param timeout the longest time to wait, rounded up to a millisecond; 0 or less for no waiting
   * @return whether a task or source had work; false when the time is over, or a callback closed
   *     the loop
   * @throws IllegalStateException on another thread, when closed, when the loop has a thread of its
   *     own, or within a turn
   */
  public boolean turn(Duration timeout) {
    long end = Sockets.deadline(Objects.requireNonNull(timeout));
    begin();
    try {
      boolean over;
      do {
        over = isOver(end);
        if (iterate(end)) {
          return true;
        }
      } while (!over && !closing);
      return false;
    } finally {
      leave();
    }
  }

  private void begin() {
    checkOwner();
    if (!onCaller || turning) {
      throw new IllegalStateException(thread.getName() + " is in its loop already");
    }
    if (ended) {
      throw new IllegalStateException("the loop of " + thread.getName() + " is closed");
    }
    turning = true;
    idle = false;
  }

  private void leave() {
    try {
      if (closing && !ended) {
        end();
      }
    } finally {
      turning = false;
    }
  }

  private static boolean isOver(long end) {
    return end != Poll.FOREVER && end - System.nanoTime() <= 0;
  }

  /**
   * Runs a task on the owner and waits for what it returns; directly, when called by the owner. Any
   * thread.
   *
   * @param deadline the longest time to wait; a task that has not begun by then never will
   * @throws ExecutionException with what the task threw
   * @throws TimeoutException when the time is over
   * @throws RejectedExecutionException once closed
   */
  public <T> T call(Callable<T> task, Duration deadline)
      throws InterruptedException, ExecutionException, TimeoutException {
    FutureTask<T> future = new FutureTask<>(task);
    if (isOwner()) {
      future.run();
      return future.get();
    }
    execute(future);
    try {
      return future.get(deadline.toNanos(), TimeUnit.NANOSECONDS);
    } catch (TimeoutException | InterruptedException e) {
      future.cancel(false);
      throw e;
    }
  }

  @Override
  public boolean isOwner() {
    return Thread.currentThread() == thread;
  }

  /**
   * Starts polling a source.
   *
   * @throws IllegalStateException on another thread, or when it is there already
   */
  @Override
  public void addSource(EventSource source) {
    checkOwner();
    sources.add(source);
  }

  /**
   * Stops polling a source, at once: also when the loop is just going through its sources. Does
   * nothing for one that is not there.
   *
   * @throws IllegalStateException on another thread
   */
  @Override
  public void removeSource(EventSource source) {
    checkOwner();
    sources.remove(source);
  }

  /**
   * Lets each edge of readability of a descriptor wake the owner.
   *
   * @throws java.io.UncheckedIOException when that is not possible: a regular file (EPERM), not
   *     open (EBADF), watched already (EEXIST)
   * @throws IllegalStateException on another thread
   */
  @Override
  public void watch(int fd) {
    checkOwner();
    epoll.add(fd);
  }

  /**
   * Ends {@link #watch}.
   *
   * @throws java.io.UncheckedIOException when the descriptor is not watched (ENOENT) or not open
   *     (EBADF)
   * @throws IllegalStateException on another thread
   */
  @Override
  public void unwatch(int fd) {
    checkOwner();
    epoll.remove(fd);
  }

  /** The thread, for names and dumps. Any thread. */
  public Thread thread() {
    return thread;
  }

  /**
   * Runs the tasks posted so far, then ends the loop. Called within a task or source it returns at
   * once and the loop ends after the current turn. Idempotent. Any thread; a loop on its caller, by
   * the owner only.
   *
   * @throws IllegalStateException when the thread has not ended in 10 s: then it has not let go of
   *     its memory; on another thread than the owner of a loop on its caller
   */
  @Override
  public void close() {
    if (onCaller) {
      checkOwner();
      closing = true;
      if (!turning && !ended) {
        turning = true;
        leave();
      }
      return;
    }
    closing = true;
    wakeUp();
    if (isOwner()) {
      return;
    }
    if (!Threads.join(thread, JOIN_LIMIT)) {
      throw new IllegalStateException(thread.getName() + " did not end in " + JOIN_LIMIT);
    }
  }

  private void run() {
    while (!closing) {
      try {
        iterate(Poll.FOREVER);
      } catch (Throwable t) {
        // Neither task nor source: without the pause a fault that stays would flood the log.
        faults.report(null, t);
        LockSupport.parkNanos(1_000_000);
      }
    }
    end();
  }

  // One round; when it found nothing, a wait until then at most, after which nobody has looked yet.
  private boolean iterate(long end) {
    boolean worked = runTasks(TASK_BATCH);
    worked |= sources.poll();
    if (worked) {
      if (idle) {
        idle = false;
        window.hit();
      }
    } else if (pollsOn()) {
      Thread.onSpinWait();
    } else {
      sleep(end);
    }
    return worked;
  }

  private boolean pollsOn() {
    return switch (mode) {
      case EVENT -> false;
      case POLL -> !sources.isEmpty();
      case ADAPTIVE -> withinWindow();
    };
  }

  private boolean withinWindow() {
    if (sources.isEmpty() || window.length() == 0) {
      return false;
    }
    long now = System.nanoTime();
    if (!idle) {
      idle = true;
      idleSince = now;
    }
    if (now - idleSince < window.length()) {
      return true;
    }
    window.miss();
    return false;
  }

  private void sleep(long end) {
    idle = false;
    if (isOver(end)) {
      return;
    }
    sleeping = true;
    VarHandle.fullFence(); // [A] sleeping is stored before tasks and work are looked for
    try {
      if (tasks.isEmpty() && !closing && sources.armAll()) {
        await(end);
      }
    } finally {
      sleeping = false;
      sources.disarmAll();
    }
  }

  private void await(long end) {
    if (mode != LoopMode.ADAPTIVE) {
      epoll.await(end);
      return;
    }
    long start = System.nanoTime();
    if (epoll.await(end)) {
      window.slept(System.nanoTime() - start);
    }
  }

  private boolean runTasks(int limit) {
    int done = 0;
    for (Runnable task; done < limit && (task = tasks.poll()) != null; done++) {
      try {
        task.run();
      } catch (Throwable t) {
        faults.report(null, t);
      }
    }
    return done > 0;
  }

  private void end() {
    while (runTasks(TASK_BATCH)) {
      Thread.onSpinWait();
    }
    wake.close();
    ended = true;
    VarHandle.fullFence(); // [B] ended is stored before the last look for tasks
    while (runTasks(TASK_BATCH)) {
      Thread.onSpinWait();
    }
    epoll.close();
  }

  private void checkOwner() {
    if (!isOwner()) {
      throw new IllegalStateException(
          "only " + thread.getName() + " may do this, not " + Thread.currentThread().getName());
    }
  }
}
