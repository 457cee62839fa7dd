// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/**
 * Ends the waits of sockets, so that a program can shut down while its threads wait for peers.
 *
 * <p>Once woken it stays so until {@link #reset}: a wait that begins later ends at once. One waker
 * may serve any number of sockets and threads. Thread-safe.
 */
public final class Waker implements AutoCloseable {
  private final EventFd event;

  /**
   * A waker that is not woken.
   *
   * @throws LinuxException when the process has no more room for descriptors
   */
  public Waker() throws LinuxException {
    event = EventFd.create();
  }

  /** Ends all waits, present and future. Does nothing once closed. */
  // Under a lock with close, after which the descriptor's number could be another's.
  public synchronized void wake() {
    try {
      event.signal();
    } catch (LinuxException e) {
      if (e.errno() != Errno.EBADF) {
        throw new IllegalStateException("cannot wake", e);
      }
    }
  }

  /**
   * Makes waits possible again.
   *
   * @throws LinuxException when closed
   */
  public void reset() throws LinuxException {
    event.drain();
  }

  /** The descriptor to wait on: readable once woken. */
  int value() {
    return event.fd().value();
  }

  /** The same descriptor, which stays this object's. */
  Fd fd() {
    return event.fd();
  }

  /** Closes the descriptor; nobody may be waiting. Idempotent. */
  @Override
  public synchronized void close() {
    event.close();
  }
}
