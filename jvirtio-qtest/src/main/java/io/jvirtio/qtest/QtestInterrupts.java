// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Runs the handlers of interrupts, one after the other, on a thread of its own: those of lines that
 * QEMU has told of, as long as they are raised, and those of cells, 32-bit words of RAM that
 * message-signalled interrupts are written to.
 *
 * <p>Nobody tells when a cell is written, so the thread looks, often after a register was written
 * or an interrupt came, up to a thousand times a second otherwise. When the session ends every
 * handler runs once more: what it asks of the device tells it.
 */
final class QtestInterrupts implements QtestSession.Listener, AutoCloseable {
  private static final Logger LOGGER = System.getLogger(QtestInterrupts.class.getName());
  private static final VarHandle WORD = ValueLayout.JAVA_INT.varHandle();
  private static final int QUICK_ROUNDS = 200;
  private static final long QUICK_NANOS = 10_000;
  private static final long SLOW_NANOS = 1_000_000;

  /** A handler that leaves its line raised so often in a row does not hurry the thread any more. */
  private static final int FRUITLESS = 16;

  /** Where interrupts come from, with their handler. */
  abstract static class Source {
    private final Runnable handler;
    private volatile boolean removed;

    private Source(Runnable handler) {
      this.handler = handler;
    }

    /** Whether the handler is to run. On the thread. */
    abstract boolean take();

    /** Whether there may be more at once. */
    abstract boolean isUrgent();
  }

  private static final class Cell extends Source {
    private final MemorySegment word;

    Cell(MemorySegment word, Runnable handler) {
      super(handler);
      this.word = word;
    }

    // The pair of the write by the device, which wrote the ring before.
    @Override
    boolean take() {
      return (int) WORD.getAcquire(word, 0L) != 0 && (int) WORD.getAndSet(word, 0L, 0) != 0;
    }

    @Override
    boolean isUrgent() {
      return true;
    }
  }

  /** Asks the device. */
  @FunctionalInterface
  interface Question {
    boolean pending() throws IOException;
  }

  private static final class Poll extends Source {
    private final Question question;

    Poll(Question question, Runnable handler) {
      super(handler);
      this.question = question;
    }

    // The handler is the one to find out that the session is over.
    @Override
    boolean take() {
      try {
        return question.pending();
      } catch (IOException e) {
        return true;
      }
    }

    @Override
    boolean isUrgent() {
      return false;
    }
  }

  private final class Line extends Source {
    private final int[] numbers;
    private int runs;

    // Before this listened, a line may have been raised.
    private boolean first = true;

    Line(int[] numbers, Runnable handler) {
      super(handler);
      this.numbers = numbers;
    }

    @Override
    boolean take() {
      boolean raised = first;
      first = false;
      for (int number : numbers) {
        raised |= levels.get(number) != 0;
      }
      runs = raised ? runs + 1 : 0;
      return raised;
    }

    @Override
    boolean isUrgent() {
      return runs <= FRUITLESS;
    }
  }

  private final QtestSession session;
  private final AtomicIntegerArray levels = new AtomicIntegerArray(QtestSession.LINES);
  private final Thread thread;

  /** Held while a handler runs. */
  private final ReentrantLock running = new ReentrantLock();

  private volatile List<Source> sources = List.of();
  private volatile boolean watching;
  private volatile boolean stirred;
  private volatile boolean closed;
  private String controller;

  QtestInterrupts(QtestSession session) {
    this.session = session;
    this.thread = Thread.ofPlatform().daemon().name("qtest interrupts").unstarted(this::run);
    session.setListener(this);
    thread.start();
  }

  /** Has QEMU tell of the lines of a controller. */
  synchronized void intercept(String path) throws IOException {
    if (!path.equals(controller)) {
      session.interceptInterrupts(path);
      controller = path;
    }
  }

  /**
   * Adds a cell.
   *
   * @param word aligned to 4; becomes 0 whenever its handler is about to run
   */
  Source addCell(MemorySegment word, Runnable handler) {
    return add(new Cell(word, handler));
  }

  /** Adds a line, or several that the handler may be at the end of. */
  Source addLine(Runnable handler, int... numbers) {
    return add(new Line(numbers.clone(), handler));
  }

  /** Adds a device that is asked again and again, where there is no line. */
  Source addPoll(Question question, Runnable handler) {
    return add(new Poll(question, handler));
  }

  private synchronized Source add(Source source) {
    List<Source> next = new ArrayList<>(sources);
    next.add(source);
    replace(next);
    return source;
  }

  /** Removes sources: when it returns, their handlers do not run, unless it is called by one. */
  void remove(List<Source> gone) {
    synchronized (this) {
      List<Source> next = new ArrayList<>(sources);
      next.removeAll(gone);
      replace(next);
      gone.forEach(source -> source.removed = true);
    }
    // Whoever runs now has run when this was had.
    running.lock();
    running.unlock();
  }

  private void replace(List<Source> next) {
    sources = List.copyOf(next);
    watching = next.stream().anyMatch(source -> !(source instanceof Line));
    stir();
  }

  /** An interrupt is likely soon, or something has changed. Any thread. */
  void stir() {
    if (!stirred) {
      stirred = true;
      LockSupport.unpark(thread);
    }
  }

  @Override
  public void lineChanged(int line, boolean raised) {
    levels.set(line, raised ? 1 : 0);
    stir();
  }

  @Override
  public void ended() {
    stir();
  }

  private void run() {
    try {
      watch();
    } catch (InternalError e) {
      // What a mapping throws whose file has become shorter: the machine's RAM is gone.
      LOGGER.log(Level.ERROR, session + " has lost its RAM", e);
      session.close();
    }
    if (!closed) {
      sources.forEach(this::handle);
    }
  }

  private void watch() {
    int idle = 0;
    while (!closed && session.isAlive()) {
      if (stirred) {
        stirred = false;
        idle = 0;
      }
      boolean urgent = false;
      for (Source source : sources) {
        if (source.take()) {
          handle(source);
          urgent |= source.isUrgent();
        }
      }
      if (urgent) {
        idle = 0;
      } else if (!stirred) {
        idle++;
        rest(idle);
      }
    }
  }

  private void rest(int idle) {
    if (idle < QUICK_ROUNDS && watching) {
      LockSupport.parkNanos(this, QUICK_NANOS);
    } else if (watching || raised()) {
      LockSupport.parkNanos(this, SLOW_NANOS);
    } else if (!closed) {
      LockSupport.park(this);
    }
    // Nobody has a reason to interrupt this thread, and it would never rest again.
    Thread.interrupted();
  }

  private boolean raised() {
    for (Source source : sources) {
      if (source instanceof Line line && line.runs > 0) {
        return true;
      }
    }
    return false;
  }

  private void handle(Source source) {
    running.lock();
    try {
      if (!source.removed) {
        source.handler.run();
      }
    } catch (RuntimeException | Error e) {
      LOGGER.log(Level.ERROR, "handler of an interrupt", e);
    } finally {
      running.unlock();
    }
  }

  /** Ends the thread; handlers do not run afterwards. Idempotent. */
  @Override
  public void close() {
    closed = true;
    LockSupport.unpark(thread);
    if (Thread.currentThread() == thread) {
      return;
    }
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
  }
}
