// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.queue.DriverQueue;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.concurrent.RejectedExecutionException;

/**
 * One queue's descriptors, and whether the back-end runs it.
 *
 * <p>The owner signals the kick descriptor and is woken by the call descriptor, so it is the owner
 * that closes them; the monitor has the error descriptor.
 */
final class FrontEndVring {
  private static final Logger LOG = System.getLogger(FrontEndVring.class.getName());

  private final DriverQueue queue;
  private final EventFd kick;
  private final EventFd call;
  private final EventFd error;
  private final boolean hasCallback;
  private final FrontEndMonitor monitor;
  private QueueOwner owner;
  // Under the lock of BackEndView.
  private boolean started;
  // So that nobody drains a descriptor that is being closed.
  private final Object closing = new Object();

  private FrontEndVring(
      DriverQueue queue,
      QueueOwner owner,
      boolean hasCallback,
      FrontEndMonitor monitor,
      EventFd[] events) {
    this.queue = queue;
    this.owner = owner;
    this.hasCallback = hasCallback;
    this.monitor = monitor;
    this.kick = events[0];
    this.call = events[1];
    this.error = events[2];
  }

  /**
   * Makes the descriptors of a queue. The call descriptor wakes the owner if the queue has a
   * callback. A queue that is polled has one all the same, which nobody looks at: without one
   * libvhost-user takes the first notification that it does not find suppressed for a fatal error.
   *
   * @throws IOException when the process has no more room for descriptors
   */
  static FrontEndVring create(
      DriverQueue queue, QueueOwner owner, boolean hasCallback, FrontEndMonitor monitor)
      throws IOException {
    EventFd[] events = new EventFd[3];
    boolean done = false;
    try {
      for (int i = 0; i < events.length; i++) {
        events[i] = EventFd.create();
      }
      FrontEndVring vring = new FrontEndVring(queue, owner, hasCallback, monitor, events);
      vring.watchCall();
      monitor.addError(queue.index(), vring.error);
      done = true;
      return vring;
    } finally {
      if (!done) {
        for (EventFd event : events) {
          if (event != null) {
            event.close();
          }
        }
      }
    }
  }

  private void watchCall() throws IOException {
    if (hasCallback) {
      QueueOwner mine = owner;
      DriverQueueSet.onOwner(mine, () -> mine.watch(call.fd().value()));
    }
  }

  int index() {
    return queue.index();
  }

  DriverQueue queue() {
    return queue;
  }

  boolean isStarted() {
    return started;
  }

  void started(boolean now) {
    started = now;
  }

  EventFd kick() {
    return kick;
  }

  EventFd call() {
    return call;
  }

  EventFd error() {
    return error;
  }

  /** The available buffer notification. On the owner. */
  void notifyDevice() throws LinuxException {
    kick.signal();
  }

  /** Another owner is woken from now on; the queue is not in use meanwhile. */
  void moveTo(QueueOwner next) throws IOException {
    if (hasCallback) {
      QueueOwner mine = owner;
      DriverQueueSet.onOwner(mine, () -> unwatchCall(mine));
    }
    owner = next;
    watchCall();
  }

  private void unwatchCall(QueueOwner from) {
    try {
      from.unwatch(call.fd().value());
    } catch (RuntimeException e) {
      LOG.log(Level.DEBUG, "vring {0}: call descriptor: {1}", index(), e.getMessage());
    }
  }

  /**
   * The back-end has gone: an owner that is held up in a notification goes on. O_NONBLOCK belongs
   * to the open file, so a back-end can clear it and fill the counter. Any thread.
   */
  void release() {
    synchronized (closing) {
      try {
        if (kick.fd().isOpen()) {
          kick.drain();
        }
      } catch (LinuxException e) {
        LOG.log(Level.DEBUG, "vring {0}: kick descriptor: {1}", index(), e.getMessage());
      }
    }
  }

  /** Closes the descriptors, each where it is used; perhaps later. */
  void close() {
    release();
    monitor.removeError(index(), error);
    QueueOwner mine = owner;
    Runnable closeMine =
        () -> {
          if (hasCallback) {
            unwatchCall(mine);
          }
          synchronized (closing) {
            kick.close();
            call.close();
          }
        };
    if (mine.isOwner()) {
      closeMine.run();
      return;
    }
    try {
      mine.execute(closeMine);
    } catch (RejectedExecutionException ended) {
      closeMine.run(); // Nobody else uses them any more.
    }
  }
}
