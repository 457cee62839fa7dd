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
   * @throws IOException when another thread keeps it beyond {@link #DEADLINE}
   */
  ControlTurn take() throws IOException {
    try {
      if (!lock.tryLock(DEADLINE.toMillis(), TimeUnit.MILLISECONDS)) {
        throw new IOException(name + ": another thread is at work on it for " + DEADLINE);
      }
      return this;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException(name + ": interrupted while waiting for the device", e);
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
