// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.FdWaiter;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.Waker;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Runs handlers when eventfds are signalled, one after the other on a thread of its own. When the
 * server goes, every handler runs once more: what it asks of the device tells it.
 */
final class EventThread implements AutoCloseable {
  /** The waiter has room for these, the waker and the connection. */
  static final int MOST = FdWaiter.MAX_FDS - 2;

  private static final Logger LOG = System.getLogger(EventThread.class.getName());

  private final List<EventFd> events = new ArrayList<>();
  private final List<Runnable> handlers;
  private final Fd connection;
  private final Waker waker;
  private final Thread thread;

  /**
   * Makes the eventfds; {@link #start} starts the thread.
   *
   * @param handlers at most {@link #MOST}
   * @param connection hangs up when the server has gone
   */
  EventThread(List<Runnable> handlers, Fd connection) throws LinuxException {
    this.handlers = List.copyOf(handlers);
    this.connection = connection;
    this.waker = new Waker();
    this.thread = Thread.ofPlatform().daemon().name("vfio-user interrupts").unstarted(this::run);
    boolean done = false;
    try {
      for (int i = 0; i < handlers.size(); i++) {
        events.add(EventFd.create());
      }
      done = true;
    } finally {
      if (!done) {
        release();
      }
    }
  }

  /** What the server signals for one of the handlers. */
  int descriptor(int handler) {
    return events.get(handler).fd().value();
  }

  void start() {
    thread.start();
  }

  private void run() {
    FdWaiter waiter = new FdWaiter();
    int ended = waiter.add(waker);
    int gone = waiter.add(connection, FdWaiter.Interest.HANG_UP);
    int first = 0;
    for (EventFd event : events) {
      int slot = waiter.add(event.fd(), FdWaiter.Interest.READABLE);
      first = first == 0 ? slot : first;
    }
    try {
      while (true) {
        long ready = waiter.await(Duration.ofHours(1));
        if ((ready >>> ended & 1) != 0) {
          return;
        }
        boolean last = (ready >>> gone & 1) != 0;
        for (int i = 0; i < events.size(); i++) {
          if ((ready >>> first + i & 1) != 0 && events.get(i).drain() > 0 || last) {
            handle(handlers.get(i));
          }
        }
        if (last) {
          return;
        }
      }
    } catch (IOException e) {
      LOG.log(Level.ERROR, "no interrupts any more", e);
    }
  }

  private static void handle(Runnable handler) {
    try {
      handler.run();
    } catch (RuntimeException | Error e) {
      LOG.log(Level.ERROR, "handler of an interrupt", e);
    }
  }

  /** Ends it: when this returns, no handler runs, unless one has called this. */
  @Override
  public void close() {
    waker.wake();
    if (Thread.currentThread() == thread) {
      return; // the descriptors go with the thread that waits for them
    }
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    release();
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void release() {
    events.forEach(EventFd::close);
    waker.close();
  }
}
