// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.time.Duration;

/**
 * A connected UNIX domain stream socket that carries bytes and file descriptors.
 *
 * <p>One thread may receive while another sends; two that receive, or two that send, must take
 * turns. A wait ends with data, with the time set, with the peer, or by the {@link Waker}.
 */
public final class UnixSocket implements AutoCloseable {
  /** The most descriptors that one message carries (SCM_MAX_FD). */
  public static final int MAX_FDS = 253;

  private static final int MSG_CTRUNC = 0x8;
  private static final int MSG_DONTWAIT = 0x40;
  private static final int MSG_NOSIGNAL = 0x4000;
  private static final int MSG_CMSG_CLOEXEC = 0x40000000;

  private final Fd fd;
  private final Waker waker;
  private final MessageHeader receiving;
  private final MessageHeader sending = new MessageHeader(MAX_FDS);
  private volatile Duration receiveTimeout;
  private volatile Duration sendTimeout;

  /** With room for so many descriptors a message. */
  UnixSocket(Fd fd, Waker waker, int maxFds) {
    this.fd = fd;
    this.waker = waker;
    this.receiving = new MessageHeader(maxFds);
  }

  /**
   * Takes over a connected socket.
   *
   * @param fd closed by {@link #close} from now on
   * @param waker ends the waits of this socket; may be null
   * @throws LinuxException when it is no UNIX domain stream socket; the descriptor stays the
   *     caller's
   */
  public static UnixSocket of(Fd fd, Waker waker) throws LinuxException {
    Sockets.checkUnixStream(fd);
    return new UnixSocket(fd, waker, MAX_FDS);
  }

  /**
   * Connects to a server.
   *
   * @param waker ends the waits of this socket, but not the connecting; may be null
   * @param timeout the longest time to wait for a server that is busy; null for no limit
   * @throws LinuxException when the path is too long, missing, or nobody listens (ECONNREFUSED)
   * @throws SocketTimeoutException when the time is over
   */
  public static UnixSocket connect(Path path, Waker waker, Duration timeout) throws IOException {
    Sockets.checkLength(path);
    Fd fd = Sockets.open(0);
    boolean done = false;
    try {
      if (timeout != null) {
        Sockets.setSendTimeout(fd, timeout);
      }
      long result = Sockets.callWithAddress(SystemCall.CONNECT, fd, path);
      if (result == -Errno.EAGAIN) {
        throw new SocketTimeoutException("connect(" + path + ") timed out after " + timeout);
      }
      if (result < 0) {
        throw new LinuxException("connect", path.toString(), (int) -result, "");
      }
      done = true;
      return new UnixSocket(fd, waker, MAX_FDS);
    } finally {
      if (!done) {
        fd.close();
      }
    }
  }

  /**
   * Two sockets connected to each other.
   *
   * @param waker ends the waits of both; may be null
   * @throws LinuxException when there is no more room for descriptors
   */
  public static UnixSocket[] pair(Waker waker) throws LinuxException {
    return pair(waker, MAX_FDS);
  }

  /** As {@link #pair(Waker)}, with room for so many descriptors a received message. */
  static UnixSocket[] pair(Waker waker, int maxFds) throws LinuxException {
    long fds = Libc.scratch().address();
    long type = Sockets.SOCK_STREAM | Sockets.SOCK_CLOEXEC;
    LinuxException.check(
        "socketpair", Libc.call(SystemCall.SOCKETPAIR, Sockets.AF_UNIX, type, 0, fds, 0, 0));
    return new UnixSocket[] {
      new UnixSocket(new Fd(RawMemory.getInt(fds)), waker, maxFds),
      new UnixSocket(new Fd(RawMemory.getInt(fds + 4)), waker, maxFds)
    };
  }

  /**
   * The longest time that one {@link #receive} may take, from the call to the last byte. Any
   * thread.
   *
   * @param timeout null for no limit, as it is at first
   */
  public void setReceiveTimeout(Duration timeout) {
    receiveTimeout = timeout;
  }

  /** The same for {@link #send}. */
  public void setSendTimeout(Duration timeout) {
    sendTimeout = timeout;
  }

  /**
   * Waits until there is something to receive, or the peer has gone.
   *
   * @param timeoutMillis the longest time to wait; negative for no limit
   * @return false when the time was over or the waker ended the wait
   * @throws LinuxException when closed
   */
  public boolean awaitReadable(int timeoutMillis) throws LinuxException {
    return Poll.await(fd.value(), Poll.IN, waker, Sockets.deadlineMillis(timeoutMillis))
        == Poll.Outcome.READY;
  }

  /**
   * Receives exactly so many bytes, in however many pieces they arrive, and all descriptors that
   * come with them.
   *
   * @param buffer native memory; the bytes go to its beginning
   * @param length bytes, 0 to the size of the buffer
   * @param sink gets each descriptor as it arrives, also when this throws later
   * @return false when the peer had closed before the first byte
   * @throws EOFException when the peer closed in the middle
   * @throws SocketTimeoutException when the time is over
   * @throws WokenException when the waker ended the wait
   * @throws LinuxException when the connection broke, or when descriptors were lost for want of
   *     room (EMFILE); those of that piece are closed
   */
  public boolean receive(MemorySegment buffer, int length, FdSink sink) throws IOException {
    checkBuffer(buffer, length);
    long deadline = Sockets.deadline(receiveTimeout);
    int done = 0;
    while (done < length) {
      receiving.prepare(buffer.address() + done, length - done, null);
      long flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
      long result = Libc.retry(SystemCall.RECVMSG, fd.value(), receiving.address(), flags);
      Reference.reachabilityFence(buffer);
      if (result == -Errno.EAGAIN) {
        await(Poll.IN, deadline, "receive");
        continue;
      }
      LinuxException.check("recvmsg", result);
      deliver(receiving.takeFds(), sink);
      if (result == 0) {
        if (done == 0) {
          return false;
        }
        throw new EOFException("the peer closed after " + done + " of " + length + " bytes");
      }
      done += (int) result;
    }
    return true;
  }

  /**
   * Receives what has arrived, once there is something: for protocols without lengths, such as
   * lines. Descriptors that come along are closed.
   *
   * @param buffer native memory, at least one byte; the bytes go to its beginning
   * @return how many bytes; 0 when the peer has closed
   * @throws SocketTimeoutException when the time is over
   * @throws WokenException when the waker ended the wait
   * @throws LinuxException when the connection broke
   */
  public int receiveSome(MemorySegment buffer) throws IOException {
    int room = (int) Math.min(buffer.byteSize(), 1 << 30);
    checkBuffer(buffer, room);
    if (room == 0) {
      throw new IllegalArgumentException("no room to receive");
    }
    long deadline = Sockets.deadline(receiveTimeout);
    while (true) {
      receiving.prepare(buffer.address(), room, null);
      long flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
      long result = Libc.retry(SystemCall.RECVMSG, fd.value(), receiving.address(), flags);
      Reference.reachabilityFence(buffer);
      if (result != -Errno.EAGAIN) {
        LinuxException.check("recvmsg", result);
        deliver(receiving.takeFds(), Fd::close);
        return (int) result;
      }
      await(Poll.IN, deadline, "receive");
    }
  }

  // Nothing may leak: neither when the kernel dropped some of them nor when the sink throws.
  private void deliver(Fd[] fds, FdSink sink) throws LinuxException {
    int next = 0;
    try {
      if ((receiving.flags() & MSG_CTRUNC) != 0) {
        throw new LinuxException("recvmsg", "", Errno.EMFILE, "descriptors were lost");
      }
      while (next < fds.length) {
        sink.accept(fds[next++]);
      }
    } finally {
      while (next < fds.length) {
        fds[next++].close();
      }
    }
  }

  /**
   * Sends all bytes, the descriptors with the first of them.
   *
   * @param buffer native memory; the bytes come from its beginning
   * @param length bytes, 0 to the size of the buffer, at least 1 with descriptors
   * @param fds at most {@link #MAX_FDS}; they stay the caller's
   * @throws SocketTimeoutException when the time is over
   * @throws WokenException when the waker ended the wait
   * @throws LinuxException when the peer has gone (EPIPE, ECONNRESET)
   */
  public void send(MemorySegment buffer, int length, int... fds) throws IOException {
    checkBuffer(buffer, length);
    if (fds.length > MAX_FDS || fds.length > 0 && length == 0) {
      throw new IllegalArgumentException(fds.length + " descriptors with " + length + " bytes");
    }
    long deadline = Sockets.deadline(sendTimeout);
    int done = 0;
    while (done < length) {
      sending.prepare(buffer.address() + done, length - done, done == 0 ? fds : MessageHeader.NONE);
      long flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      long result = Libc.retry(SystemCall.SENDMSG, fd.value(), sending.address(), flags);
      Reference.reachabilityFence(buffer);
      Reference.reachabilityFence(this);
      if (result == -Errno.EAGAIN) {
        await(Poll.OUT, deadline, "send");
        continue;
      }
      done += (int) LinuxException.check("sendmsg", result);
    }
  }

  private void await(int events, long deadline, String operation) throws IOException {
    switch (Poll.await(fd.value(), events, waker, deadline)) {
      case READY -> {}
      case WOKEN -> throw new WokenException(operation);
      case TIMED_OUT -> throw new SocketTimeoutException(operation + " timed out");
    }
  }

  private static void checkBuffer(MemorySegment buffer, int length) {
    if (!buffer.isNative() || length < 0 || length > buffer.byteSize()) {
      throw new IllegalArgumentException(length + " bytes of " + buffer);
    }
  }

  /** The descriptor, which stays this object's. */
  public Fd fd() {
    return fd;
  }

  /** Closes the connection. Idempotent. Wake whoever waits first. */
  @Override
  public void close() {
    fd.close();
  }
}
