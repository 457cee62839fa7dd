// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.io.IOException;

/**
 * Serves whoever connects to a Unix socket, one after another. The thread that calls {@link #serve}
 * does it.
 */
public abstract class SocketServer implements AutoCloseable {
  private final boolean oneShot;
  private final Waker waker;
  private volatile boolean stopping;

  /**
   * A server that does not serve yet.
   *
   * @param oneShot whether it ends when the first to connect has left
   * @throws IOException when the process has no more room for descriptors
   */
  protected SocketServer(boolean oneShot) throws IOException {
    this.oneShot = oneShot;
    this.waker = new Waker();
  }

  /** Ends the waits of the sockets that are served: give it to them when they are made. */
  public final Waker waker() {
    return waker;
  }

  /**
   * Accepts one after another and serves each until it leaves. Blocks until {@link #stop}, or until
   * the first has left in one-shot mode.
   *
   * @throws IOException when the socket cannot accept any more
   */
  public final void serve(UnixServerSocket socket) throws IOException {
    while (!stopping) {
      try (UnixSocket connection = socket.accept()) {
        serve(connection);
      } catch (WokenException e) {
        if (!stopping) {
          throw e;
        }
      }
      if (oneShot) {
        return;
      }
    }
  }

  /** Serves one until it leaves or {@link #stop}. Blocks. The socket stays the caller's. */
  public abstract void serve(UnixSocket connection);

  /** Whether {@link #stop} was called. Any thread. */
  protected final boolean isStopping() {
    return stopping;
  }

  /** Ends {@link #serve} soon, whatever it waits for. Any thread. */
  public final void stop() {
    stopping = true;
    waker.wake();
  }

  /** Stops, and lets go of everything. Not before {@link #serve} has returned. */
  @Override
  public void close() {
    stop();
    waker.close();
  }
}
