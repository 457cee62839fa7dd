// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import io.jvirtio.linux.WokenException;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The control socket as the front-end sees it: requests go out, replies come in, and what goes
 * wrong ends it. What requests mean is {@link FrontEndChannel}'s.
 *
 * <p>Thread-safe: one request at a time, under one lock, for at most the reply deadline. {@link
 * #close} ends a wait.
 */
final class FrontEndConnection implements AutoCloseable {
  private static final Logger LOG = System.getLogger(FrontEndConnection.class.getName());

  /** Makes something of the payload of a reply. */
  @FunctionalInterface
  interface Decoder<T> {
    T decode(ByteBuffer payload) throws ProtocolFault, RequestRefusedException;
  }

  private final ReentrantLock lock = new ReentrantLock();
  private final UnixSocket socket;
  private final Waker waker;
  private final long deadlineNanos;
  private final MemorySegment buffer =
      Arena.ofAuto().allocate(VhostUserCodec.HEADER_SIZE + VhostUserCodec.MAX_PAYLOAD, 8);

  // Under the lock.
  private boolean replyAck;
  private boolean released;
  private int strays;
  private QueueOwner watcher;
  private Runnable onFailure;

  // Written under the lock.
  private volatile IOException failure;

  // Somebody saw the socket become readable: whoever has the lock, or leaves it, looks why.
  private volatile boolean suspicious;

  private FrontEndConnection(UnixSocket socket, Waker waker, Duration replyDeadline) {
    this.socket = socket;
    this.waker = waker;
    this.deadlineNanos = replyDeadline.toNanos();
  }

  /** As {@link FrontEndChannel#connect}. */
  static FrontEndConnection connect(Path path, Duration connectTimeout, Duration replyDeadline)
      throws IOException {
    Waker waker = new Waker();
    boolean done = false;
    try {
      UnixSocket socket = UnixSocket.connect(path, waker, connectTimeout);
      done = true;
      return new FrontEndConnection(socket, waker, replyDeadline);
    } finally {
      if (!done) {
        waker.close();
      }
    }
  }

  /** As {@link FrontEndChannel#watchOn}. */
  void watchOn(QueueOwner owner, Runnable failed) throws IOException {
    lock.lock();
    try {
      checkOpen();
      owner.watch(socket.fd().value());
      watcher = owner;
      onFailure = failed;
    } finally {
      unlock();
    }
  }

  /** From now on every {@link #command} is acknowledged. */
  void acknowledgeAll() {
    lock.lock();
    try {
      replyAck = true;
    } finally {
      unlock();
    }
  }

  /**
   * Sends a request without a reply of its own, and checks its acknowledgement if it has one.
   *
   * @param message encoded
   * @param fds its descriptors; they stay the caller's
   * @throws RequestRefusedException when the back-end refuses it, which ends nothing
   */
  void command(VhostUserRequest request, ByteBuffer message, int... fds) throws IOException {
    lock.lock();
    try {
      checkOpen();
      if (replyAck) {
        FrontEndCodec.setNeedReply(message);
      }
      send(request, message, fds);
      if (replyAck) {
        long result = FrontEndCodec.value(receive(request, 0));
        if (result != 0) {
          throw new RequestRefusedException(
              "back-end refused " + request + " (" + Long.toUnsignedString(result) + ")");
        }
      }
    } finally {
      unlock();
    }
  }

  /**
   * Sends a request and receives its reply.
   *
   * @param message encoded
   * @param configSize bytes that GET_CONFIG asks for; 0 for every other request
   * @param decoder gets a payload of the size that the request wants
   * @throws RequestRefusedException when the decoder finds that, which ends nothing
   */
  <T> T call(VhostUserRequest request, ByteBuffer message, int configSize, Decoder<T> decoder)
      throws IOException {
    lock.lock();
    try {
      checkOpen();
      send(request, message);
      return decoder.decode(receive(request, configSize));
    } catch (ProtocolFault e) {
      throw fail(e.getMessage(), null);
    } finally {
      unlock();
    }
  }

  private void send(VhostUserRequest request, ByteBuffer message, int... fds) throws IOException {
    LOG.log(Level.DEBUG, "{0}", request);
    int length = message.remaining();
    MemorySegment.copy(MemorySegment.ofBuffer(message), 0, buffer, 0, length);
    socket.setSendTimeout(Duration.ofNanos(deadlineNanos));
    try {
      socket.send(buffer, length, fds);
    } catch (SocketTimeoutException e) {
      throw fail("back-end does not take " + request + " for " + patience(), e);
    } catch (WokenException e) {
      throw fail("connection closed while " + request + " was sent", e);
    } catch (IOException e) {
      throw fail("back-end closed the connection before " + request, e);
    }
  }

  /** The payload of the reply, of the size that the request wants. */
  private ByteBuffer receive(VhostUserRequest request, int configSize) throws IOException {
    long start = System.nanoTime();
    strays = 0;
    try {
      int header = VhostUserCodec.HEADER_SIZE;
      receive(request, header, start);
      int size =
          FrontEndCodec.replySize(request, buffer.asSlice(0, header).asByteBuffer(), configSize);
      if (size > 0) {
        receive(request, size, start);
      }
      LOG.log(Level.DEBUG, "{0}: reply of {1} bytes", request, size);
      return ByteBuffer.wrap(buffer.asSlice(0, size).toArray(ValueLayout.JAVA_BYTE));
    } catch (ProtocolFault e) {
      throw fail(e.getMessage(), null);
    }
  }

  private void receive(VhostUserRequest request, int length, long start) throws IOException {
    long left = Math.max(1, deadlineNanos - (System.nanoTime() - start));
    socket.setReceiveTimeout(Duration.ofNanos(left));
    String gone = "back-end closed the connection while " + request + " was pending";
    boolean more;
    try {
      more = socket.receive(buffer, length, this::refuseFd);
    } catch (SocketTimeoutException e) {
      throw fail("back-end does not answer " + request + " for " + patience(), e);
    } catch (WokenException e) {
      throw fail("connection closed while " + request + " was pending", e);
    } catch (EOFException | LinuxException e) {
      throw fail(gone, e);
    }
    if (strays > 0) {
      throw fail("reply to " + request + " came with " + strays + " descriptors", null);
    }
    if (!more) {
      throw fail(gone, null);
    }
  }

  // No reply that is asked for here has a descriptor.
  private void refuseFd(Fd fd) {
    strays++;
    fd.close();
  }

  private String patience() {
    return text(Duration.ofNanos(deadlineNanos));
  }

  /** A deadline for people. */
  static String text(Duration deadline) {
    return deadline.toMillis() % 1000 == 0
        ? deadline.toSeconds() + " s"
        : deadline.toMillis() + " ms";
  }

  /** Why the connection has failed; null while it works. Any thread, without waiting. */
  IOException failure() {
    return failure;
  }

  private void checkOpen() throws IOException {
    if (failure != null) {
      throw new IOException(failure.getMessage(), failure);
    }
  }

  /** Closes the connection, for a reason that every later call will tell. */
  void fail(String reason) {
    lock.lock();
    try {
      fail(reason, null);
    } finally {
      unlock();
    }
  }

  /** Notes the first failure and closes the connection. With the lock held. */
  private IOException fail(String reason, IOException cause) {
    if (failure != null) {
      return new IOException(failure.getMessage(), failure);
    }
    failure = new IOException(reason, cause);
    release();
    if (onFailure != null) {
      onFailure.run();
    }
    return failure;
  }

  private void release() {
    if (released) {
      return;
    }
    released = true;
    if (watcher == null) {
      socket.close();
      return;
    }
    // Unwatched first: once closed, the number can be another's.
    QueueOwner owner = watcher;
    try {
      owner.execute(() -> unwatchAndClose(owner));
    } catch (RejectedExecutionException ended) {
      socket.close(); // Nobody watches any more.
    }
  }

  private void unwatchAndClose(QueueOwner owner) {
    try {
      owner.unwatch(socket.fd().value());
    } catch (UncheckedIOException e) {
      LOG.log(Level.DEBUG, "control socket: {0}", e.getMessage());
    } finally {
      socket.close();
    }
  }

  /**
   * The watched socket may have become readable. When nothing is pending, that is the end of the
   * connection, or a reply to nothing. Any thread; never waits.
   */
  void lookForEnd() {
    suspicious = true;
    examine();
  }

  private void unlock() {
    lock.unlock();
    if (!lock.isHeldByCurrentThread()) {
      examine();
    }
  }

  private void examine() {
    while (suspicious && lock.tryLock()) {
      try {
        suspicious = false;
        examineLocked();
      } finally {
        lock.unlock();
      }
    }
  }

  private void examineLocked() {
    if (failure != null) {
      return;
    }
    strays = 0;
    try {
      if (!socket.awaitReadable(0)) {
        return;
      }
      socket.setReceiveTimeout(Duration.ofNanos(1));
      boolean data = socket.receive(buffer, 1, this::refuseFd);
      String reason =
          data ? "back-end sent what nobody asked for" : "back-end closed the connection";
      fail(reason, null);
    } catch (SocketTimeoutException | WokenException nothing) {
      LOG.log(Level.DEBUG, "control socket: {0}", nothing.getMessage());
    } catch (IOException e) {
      fail("back-end closed the connection", e);
    }
  }

  /** Closes the connection and ends what waits for it. Idempotent. */
  @Override
  public void close() {
    waker.wake();
    lock.lock();
    try {
      if (failure == null) {
        failure = new IOException("connection closed");
      }
      release();
      waker.close();
    } finally {
      lock.unlock();
    }
  }
}
