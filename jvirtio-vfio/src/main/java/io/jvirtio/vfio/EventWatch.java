// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.FdWaiter;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.Waker;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;

/**
 * An eventfd by which the client masks or unmasks INTx, as KVM unmasks at the end of an interrupt.
 * Linux's VFIO reads it, so this does. It has a thread of its own while there is one.
 *
 * <p>Control thread only.
 */
final class EventWatch {
  private static final Logger LOG = System.getLogger(EventWatch.class.getName());

  private final Runnable action;
  private Waker waker;
  private Thread thread;

  EventWatch(Runnable action) {
    this.action = action;
  }

  /**
   * Watches this one instead of what was watched.
   *
   * @param event closed when another takes its place; null for none
   */
  void watch(EventFd event) {
    end();
    if (event == null) {
      return;
    }
    Waker mine;
    try {
      mine = new Waker();
    } catch (LinuxException e) {
      event.close();
      LOG.log(Level.WARNING, "INTx cannot be masked by an event: {0}", e.getMessage());
      return;
    }
    waker = mine;
    thread = Thread.ofPlatform().daemon().name("vfio-intx-mask").start(() -> run(event, mine));
  }

  private void run(EventFd event, Waker until) {
    FdWaiter waiter = new FdWaiter();
    int ended = waiter.add(until);
    waiter.add(event.fd(), FdWaiter.Interest.READABLE);
    try {
      while ((waiter.await(Duration.ofHours(1)) >>> ended & 1) == 0) {
        if (event.drain() > 0) {
          action.run();
        }
      }
    } catch (LinuxException e) {
      LOG.log(Level.WARNING, "INTx is not masked by events any more: {0}", e.getMessage());
    } finally {
      event.close();
    }
  }

  private void end() {
    if (thread == null) {
      return;
    }
    waker.wake();
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
    waker.close();
    waker = null;
    thread = null;
  }
}
