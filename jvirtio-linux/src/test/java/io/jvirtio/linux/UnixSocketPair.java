// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** Two connected sockets for one test. */
final class UnixSocketPair implements AutoCloseable {
  final UnixSocket a;
  final UnixSocket b;

  UnixSocketPair(Waker waker) throws LinuxException {
    this(waker, UnixSocket.MAX_FDS);
  }

  UnixSocketPair(Waker waker, int maxFds) throws LinuxException {
    UnixSocket[] pair = UnixSocket.pair(waker, maxFds);
    a = pair[0];
    b = pair[1];
  }

  @Override
  public void close() {
    a.close();
    b.close();
  }
}
