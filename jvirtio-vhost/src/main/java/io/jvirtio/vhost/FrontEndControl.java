// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The control thread of a {@link VhostUserTransport}: whoever holds the lock. Knows the session
 * that there is, and whether there is to be none any more. Thread-safe.
 */
final class FrontEndControl {
  /** A call of the session. */
  @FunctionalInterface
  interface Call<T> {
    T on(FrontEndSession live) throws IOException;
  }

  private final String name;
  private final Duration replyDeadline;
  private final ReentrantLock lock = new ReentrantLock();
  private final AtomicBoolean closed = new AtomicBoolean();
  private volatile FrontEndSession session;

  /** Without a session. */
  FrontEndControl(String name, Duration replyDeadline) {
    this.name = name;
    this.replyDeadline = replyDeadline;
  }

  /** The session, or the last one that there was; null before the first. Takes no lock. */
  FrontEndSession session() {
    return session;
  }

  /** Replaces the session. */
  void use(FrontEndSession next) {
    session = next;
  }

  /** Takes no lock. */
  boolean isClosed() {
    return closed.get();
  }

  /**
   * Calls the session.
   *
   * @throws IOException also when it has ended, and when closed
   */
  <T> T call(Call<T> call) throws IOException {
    lock.lock();
    try {
      return call.on(live());
    } finally {
      lock.unlock();
    }
  }

  private FrontEndSession live() throws IOException {
    if (closed.get()) {
      throw new IOException(name + " is closed");
    }
    IOException failure = session.channel().failure();
    if (failure != null) {
      throw new IOException(failure.getMessage(), failure);
    }
    return session;
  }

  /** For what needs no live session. */
  void lock() {
    lock.lock();
  }

  void unlock() {
    lock.unlock();
  }

  /**
   * Says that it is closed, and takes the lock: a call in progress gets as long as one reply may
   * take; then its connection is closed under it.
   *
   * @return whether this call has closed it; else the lock is not taken
   */
  boolean close() {
    if (!closed.compareAndSet(false, true)) {
      return false;
    }
    boolean interrupted = false;
    boolean mine = false;
    try {
      mine = lock.tryLock(replyDeadline.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      interrupted = true;
    }
    if (!mine) {
      FrontEndSession current = session;
      if (current != null) {
        current.channel().close();
      }
      lock.lock();
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    return true;
  }
}
