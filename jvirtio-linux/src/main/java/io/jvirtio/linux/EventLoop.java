// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.device.EventSource;
import io.jvirtio.device.QueueOwner;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.time.Duration;
import java.util.Arrays;
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
 * A queue owner with a thread of its own: runs tasks, polls sources, sleeps when there is nothing
 * to do.
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
 * <p>Nothing that a task or source throws ends the loop. An iteration allocates nothing.
 */
public final class EventLoop implements QueueOwner, AutoCloseable {
  /** How long {@link LoopMode#ADAPTIVE} polls after the last work, unless told otherwise. */
  public static final Duration DEFAULT_POLL_WINDOW = Duration.ofNanos(50_000);

  private static final Logger LOG = System.getLogger(EventLoop.class.getName());
  private static final long JOIN_SECONDS = 10;

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
  private final FaultHandler faults;
  private final PollWindow window;
  private final ConcurrentLinkedQueue<Runnable> tasks = new ConcurrentLinkedQueue<>();
  private final Epoll epoll;
  private final EventFd wake;
  private final Thread thread;

  private volatile boolean sleeping;
  private volatile boolean closing;
  private volatile boolean ended;

  // Owner only. A removed source leaves a hole, for the array may be in the middle of an iteration.
  private EventSource[] sources = new EventSource[8];
  private int slots;
  private int holes;
  private boolean idle;
  private long idleSince;

  private EventLoop(String name, LoopMode mode, Duration pollWindow, FaultHandler faults)
      throws LinuxException {
    this.mode = Objects.requireNonNull(mode);
    this.faults = Objects.requireNonNull(faults);
    this.window = new PollWindow(pollWindow.toNanos());
    this.wake = EventFd.create();
    try {
      this.epoll = new Epoll();
    } catch (LinuxException e) {
      wake.close();
      throw e;
    }
    this.epoll.add(wake.fd().value());
    this.thread = Thread.ofPlatform().daemon().name(name).unstarted(this::run);
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
    EventLoop loop = new EventLoop(name, mode, pollWindow, faults);
    loop.thread.start();
    return loop;
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
      signal();
    }
  }

  @Override
  public boolean runUntil(BooleanSupplier done, Duration deadline) {
    throw new IllegalStateException(thread.getName() + " runs its own loop");
  }

  // Under a lock with the closing of the descriptor, whose number could be another's by then.
  private void signal() {
    synchronized (wake) {
      if (!ended) {
        try {
          wake.signal();
        } catch (LinuxException e) {
          throw new IllegalStateException("cannot wake " + thread.getName(), e);
        }
      }
    }
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
    Objects.requireNonNull(source);
    if (indexOf(source) >= 0) {
      throw new IllegalStateException("source added twice: " + source);
    }
    if (slots == sources.length) {
      sources = Arrays.copyOf(sources, 2 * slots);
    }
    sources[slots++] = source;
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
    int index = indexOf(source);
    if (index >= 0) {
      sources[index] = null;
      holes++;
    }
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
   * Runs the tasks posted so far, then ends the thread. Called by the owner itself it returns at
   * once and the loop ends after the current task. Idempotent. Any thread.
   *
   * @throws IllegalStateException when the thread has not ended in 10 s: then it has not let go of
   *     its memory
   */
  @Override
  public void close() {
    closing = true;
    wakeUp();
    if (isOwner()) {
      return;
    }
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(JOIN_SECONDS);
    boolean interrupted = false;
    long left = JOIN_SECONDS * 1000;
    while (thread.isAlive() && left > 0) {
      try {
        thread.join(left);
      } catch (InterruptedException e) {
        interrupted = true;
      }
      left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    if (thread.isAlive()) {
      throw new IllegalStateException(thread.getName() + " did not end in " + JOIN_SECONDS + " s");
    }
  }

  private void run() {
    while (!closing) {
      try {
        iterate();
      } catch (Throwable t) {
        // Neither task nor source: without the pause a fault that stays would flood the log.
        report(null, t);
        LockSupport.parkNanos(1_000_000);
      }
    }
    end();
  }

  private void iterate() {
    boolean worked = runTasks(TASK_BATCH);
    worked |= pollSources();
    if (worked) {
      if (idle) {
        idle = false;
        window.hit();
      }
    } else if (pollsOn()) {
      Thread.onSpinWait();
    } else {
      sleep();
    }
  }

  private boolean pollsOn() {
    return switch (mode) {
      case EVENT -> false;
      case POLL -> slots > holes;
      case ADAPTIVE -> withinWindow();
    };
  }

  private boolean withinWindow() {
    if (slots == holes || window.length() == 0) {
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

  private void sleep() {
    idle = false;
    sleeping = true;
    VarHandle.fullFence(); // [A] sleeping is stored before tasks and work are looked for
    int armed = 0;
    try {
      boolean quiet = tasks.isEmpty() && !closing;
      while (quiet && armed < slots) {
        quiet = arm(sources[armed++]);
      }
      if (quiet) {
        await();
      }
    } finally {
      sleeping = false;
      for (int i = 0; i < armed; i++) {
        disarm(sources[i]);
      }
    }
  }

  private void await() {
    if (mode != LoopMode.ADAPTIVE) {
      epoll.await();
      return;
    }
    long start = System.nanoTime();
    epoll.await();
    window.slept(System.nanoTime() - start);
  }

  private boolean runTasks(int limit) {
    int done = 0;
    for (Runnable task; done < limit && (task = tasks.poll()) != null; done++) {
      try {
        task.run();
      } catch (Throwable t) {
        report(null, t);
      }
    }
    return done > 0;
  }

  private boolean pollSources() {
    if (holes > 0) {
      compact();
    }
    boolean worked = false;
    for (int i = 0; i < slots; i++) {
      EventSource source = sources[i];
      if (source != null) {
        try {
          worked |= source.poll();
        } catch (Throwable t) {
          report(source, t);
        }
      }
    }
    return worked;
  }

  // A source that throws counts as armed: should its handler leave it here, it does not keep the
  // loop busy.
  private boolean arm(EventSource source) {
    if (source == null) {
      return true;
    }
    try {
      return source.arm();
    } catch (Throwable t) {
      report(source, t);
      return true;
    }
  }

  private void disarm(EventSource source) {
    if (source != null) {
      try {
        source.disarm();
      } catch (Throwable t) {
        report(source, t);
      }
    }
  }

  private void compact() {
    int kept = 0;
    for (int i = 0; i < slots; i++) {
      if (sources[i] != null) {
        sources[kept++] = sources[i];
      }
    }
    Arrays.fill(sources, kept, slots, null);
    slots = kept;
    holes = 0;
  }

  private int indexOf(EventSource source) {
    for (int i = 0; i < slots; i++) {
      if (sources[i] == source) {
        return i;
      }
    }
    return -1;
  }

  private void report(EventSource source, Throwable fault) {
    try {
      faults.onFault(source, fault);
    } catch (Throwable t) {
      try {
        fault.addSuppressed(t);
        LOG.log(Level.ERROR, "the fault handler of " + thread.getName() + " threw", fault);
      } catch (Throwable hopeless) {
        // Not even the log works, as when memory is exhausted: going on is all that is left.
        Thread.onSpinWait();
      }
    }
  }

  private void end() {
    while (runTasks(TASK_BATCH)) {
      Thread.onSpinWait();
    }
    synchronized (wake) {
      ended = true;
      wake.close();
    }
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
