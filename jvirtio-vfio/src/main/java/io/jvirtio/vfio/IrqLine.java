// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.ReentrantLock;

/**
 * One interrupt: an eventfd that the client gave, or none. Signalled on any thread, armed on the
 * control thread.
 */
final class IrqLine {
  private static final Logger LOG = System.getLogger(IrqLine.class.getName());

  // Held while the descriptor is written to: it may not be closed meanwhile, for its number would
  // soon be another's.
  private final ReentrantLock lock = new ReentrantLock();
  private final LongAdder sent;
  private volatile EventFd event;
  private boolean pending;

  IrqLine(LongAdder sent) {
    this.sent = sent;
  }

  /** Only an eventfd can be let go of by whoever is held up in writing to it. */
  static void checkEventFd(Fd fd) throws CommandRefused {
    try {
      Path link = Files.readSymbolicLink(Path.of("/proc/self/fd/" + fd.value()));
      if (link.toString().equals("anon_inode:[eventfd]")) {
        return;
      }
      throw new CommandRefused(Errno.EINVAL, link + " is no eventfd");
    } catch (IOException e) {
      throw new CommandRefused(Errno.EBADF, "descriptor cannot be examined: " + e.getMessage());
    }
  }

  boolean isArmed() {
    return event != null;
  }

  /** Signals if armed. */
  void signal() {
    lock.lock();
    try {
      send();
    } finally {
      lock.unlock();
    }
  }

  /**
   * Signals if armed, for the control thread, which must not be held up: a counter that has been
   * read cannot be full.
   */
  void signalFromControl() {
    EventFd now = event;
    lockInSpiteOf(now);
    try {
      drain(now);
      send();
    } finally {
      lock.unlock();
    }
  }

  private static void drain(EventFd event) {
    if (event != null) {
      try {
        event.drain();
      } catch (LinuxException e) {
        LOG.log(Level.DEBUG, "cannot drain: {0}", e.getMessage());
      }
    }
  }

  /** Signals, now or as soon as it is armed. */
  void fire() {
    lock.lock();
    try {
      pending = !send();
    } finally {
      lock.unlock();
    }
  }

  private boolean send() {
    EventFd now = event;
    if (now == null) {
      return false;
    }
    try {
      now.signal();
      sent.increment();
    } catch (LinuxException e) {
      LOG.log(Level.DEBUG, "cannot signal: {0}", e.getMessage());
    }
    return true;
  }

  /** What fired without being armed is forgotten. */
  void forget() {
    lock.lock();
    try {
      pending = false;
    } finally {
      lock.unlock();
    }
  }

  /** Replaces the eventfd, which is closed; null for none. */
  void arm(EventFd next) {
    lockInSpiteOf(event);
    EventFd old = event;
    try {
      event = next;
      if (next != null && pending) {
        pending = false;
        drain(next);
        send();
      }
    } finally {
      lock.unlock();
    }
    if (old != null) {
      old.close();
    }
  }

  // O_NONBLOCK belongs to the open file, so a client can clear it, fill the counter, and hold up
  // whoever signals: reading the counter lets that thread go.
  private void lockInSpiteOf(EventFd held) {
    boolean interrupted = false;
    while (true) {
      try {
        if (lock.tryLock(held == null ? Long.MAX_VALUE : 10, TimeUnit.MILLISECONDS)) {
          break;
        }
        drain(held);
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
