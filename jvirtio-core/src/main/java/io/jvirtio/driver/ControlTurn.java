// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Whose turn it is on a device's control plane: one thread at a time, and nobody waits without end.
 *
 * <p>Held while driver code runs, since a driver's calls must not overlap. So nothing that a driver
 * can wait for may take it: not a queue's owner, and not a transport's thread. Re-entrant, for
 * drivers that call back and for owners without a thread.
 */
final class ControlTurn implements AutoCloseable {
  /** It did not come to be one's turn. */
  static final class BusyException extends IOException {
    private static final long serialVersionUID = 1L;

    BusyException(String message) {
      super(message);
    }
  }

  /** How long to wait for the turn: longer than whatever a transport waits for. */
  static final Duration DEADLINE = Duration.ofSeconds(60);

  private final ReentrantLock lock = new ReentrantLock(true);
  private final String name;

  /**
   * @param name of the device, for people
   */
  ControlTurn(String name) {
    this.name = name;
  }

  /**
   * Waits for the turn; closing it gives it back.
   *
   * @throws BusyException when another thread keeps it beyond {@link #DEADLINE}, or this one is
   *     interrupted while it waits
   */
  ControlTurn take() throws BusyException {
    try {
      // First without waiting, which an interrupted thread may as well.
      if (lock.tryLock() || lock.tryLock(DEADLINE.toNanos(), TimeUnit.NANOSECONDS)) {
        return this;
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BusyException(name + ": interrupted while another thread is at work on it");
    }
    throw new BusyException(name + ": another thread is at work on it for " + DEADLINE);
  }

  /** As {@link #take}, for what has to be done also by a thread that is interrupted. */
  ControlTurn takeAnyway() throws BusyException {
    boolean interrupted = Thread.interrupted();
    long end = System.nanoTime() + DEADLINE.toNanos();
    try {
      while (true) {
        try {
          if (lock.tryLock(end - System.nanoTime(), TimeUnit.NANOSECONDS)) {
            return this;
          }
          throw new BusyException(name + ": another thread is at work on it for " + DEADLINE);
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /** Whether this thread has the turn. */
  boolean isMine() {
    return lock.isHeldByCurrentThread();
  }

  @Override
  public void close() {
    lock.unlock();
  }
}
