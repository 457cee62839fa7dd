// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A client's connection to a server: one command at a time, each with its reply. After the first
 * reply that did not come in time or makes no sense the connection is over, and everything throws.
 * Thread-safe.
 */
final class ServerLink implements AutoCloseable {
  private static final int ROOM = 8192;
  private static final int OFFSET = VfioUserCodec.HEADER_SIZE;
  private static final int DATA = OFFSET + VfioUserCodec.ACCESS_SIZE;
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
  private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT;

  private final Path path;
  private final UnixSocket socket;
  private final Waker waker;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate(ROOM, 8);
  private final ReentrantLock turn = new ReentrantLock();
  private int nextId;
  private volatile IOException end;
  private volatile boolean closed;

  private ServerLink(Path path, UnixSocket socket, Waker waker) {
    this.path = path;
    this.socket = socket;
    this.waker = waker;
  }

  /** Connects; the deadline is for that, and for each reply. */
  static ServerLink connect(Path path, Duration deadline) throws IOException {
    Waker waker = new Waker();
    boolean done = false;
    try {
      UnixSocket socket = UnixSocket.connect(path, waker, deadline);
      socket.setReceiveTimeout(deadline);
      socket.setSendTimeout(deadline);
      done = true;
      return new ServerLink(path, socket, waker);
    } finally {
      if (!done) {
        waker.close();
      }
    }
  }

  /** Becomes readable, or hangs up, when the server has gone. */
  Fd fd() {
    return socket.fd();
  }

  private interface Exchange<T> {
    T run() throws IOException, ProtocolFault;
  }

  private <T> T exchange(Exchange<T> exchange) throws IOException {
    turn.lock();
    try {
      if (closed) {
        throw new IOException(this + " is closed");
      }
      if (end != null) {
        throw new IOException(this + " is over: " + end.getMessage(), end);
      }
      return exchange.run();
    } catch (VfioUserRefusal refusal) {
      throw refusal;
    } catch (ProtocolFault e) {
      throw ended(new IOException(this + ": " + e.getMessage(), e));
    } catch (IOException e) {
      throw ended(e);
    } finally {
      turn.unlock();
    }
  }

  private IOException ended(IOException reason) {
    if (end == null) {
      end = reason;
    }
    return reason;
  }

  /**
   * Sends a command; the payload of its reply.
   *
   * @param least bytes that the reply must have, at most those that are looked at
   * @throws VfioUserRefusal when the server refuses; the connection goes on
   */
  ByteBuffer call(VfioUserCommand command, byte[] payload, int least, int... fds)
      throws IOException {
    return exchange(
        () -> {
          MemorySegment.copy(payload, 0, buffer, ValueLayout.JAVA_BYTE, OFFSET, payload.length);
          int id = send(command, payload.length, 0, fds);
          int size = receive(command, id, least);
          return ByteBuffer.wrap(buffer.asSlice(0, size).toArray(ValueLayout.JAVA_BYTE))
              .order(ByteOrder.nativeOrder());
        });
  }

  /** Reads a register; width 1, 2, 4 or 8 bytes. */
  long read(int region, long offset, int width) throws IOException {
    return exchange(
        () -> {
          access(region, offset, width);
          int id = send(VfioUserCommand.REGION_READ, VfioUserCodec.ACCESS_SIZE, 0);
          int least = VfioUserCodec.ACCESS_SIZE + width;
          receive(VfioUserCommand.REGION_READ, id, least);
          long value = 0;
          for (int i = 0; i < width; i++) {
            byte one = buffer.get(ValueLayout.JAVA_BYTE, VfioUserCodec.ACCESS_SIZE + i);
            value |= (one & 0xffL) << 8 * i;
          }
          return value;
        });
  }

  /**
   * Writes a register.
   *
   * @param posted whether to go on without a reply, as for memory
   */
  void write(int region, long offset, int width, long value, boolean posted) throws IOException {
    exchange(
        () -> {
          access(region, offset, width);
          for (int i = 0; i < width; i++) {
            buffer.set(ValueLayout.JAVA_BYTE, DATA + i, (byte) (value >>> 8 * i));
          }
          int size = VfioUserCodec.ACCESS_SIZE + width;
          int flags = posted ? VfioUserCodec.FLAG_NO_REPLY : 0;
          int id = send(VfioUserCommand.REGION_WRITE, size, flags);
          if (!posted) {
            receive(VfioUserCommand.REGION_WRITE, id, VfioUserCodec.ACCESS_SIZE);
          }
          return null;
        });
  }

  private void access(int region, long offset, int width) {
    buffer.set(LONG, OFFSET, offset);
    buffer.set(INT, OFFSET + 8, region);
    buffer.set(INT, OFFSET + 12, width);
  }

  private int send(VfioUserCommand command, int size, int flags, int... fds) throws IOException {
    int id = nextId;
    nextId = nextId + 1 & 0xffff;
    buffer.set(SHORT, 0, (short) id);
    buffer.set(SHORT, 2, (short) command.id());
    buffer.set(INT, 4, VfioUserCodec.HEADER_SIZE + size);
    buffer.set(INT, 8, flags);
    buffer.set(INT, 12, 0);
    socket.send(buffer, VfioUserCodec.HEADER_SIZE + size, fds);
    return id;
  }

  /** The payload of the reply is at the beginning of the buffer then; how long it is. */
  private int receive(VfioUserCommand command, int id, int least)
      throws IOException, ProtocolFault {
    // Descriptors that come along are of no use.
    if (!socket.receive(buffer, VfioUserCodec.HEADER_SIZE, Fd::close)) {
      throw new EOFException(this + ": the server has closed the connection");
    }
    VfioUserCodec.Header header =
        VfioUserCodec.header(buffer.asSlice(0, VfioUserCodec.HEADER_SIZE).asByteBuffer());
    if (!header.reply() || header.id() != id || header.code() != command.id()) {
      throw new ProtocolFault("instead of a reply to " + command + ": " + header);
    }
    if (header.size() > ROOM) {
      throw new ProtocolFault(header + " of " + header.size() + " bytes");
    }
    if (header.size() > 0 && !socket.receive(buffer, header.size(), Fd::close)) {
      throw new EOFException(this + ": the server has closed the connection");
    }
    if (header.error() != 0) {
      throw new VfioUserRefusal(command, header.error());
    }
    if (header.size() < least) {
      throw new ProtocolFault(header + " of " + header.size() + " bytes, not " + least);
    }
    return header.size();
  }

  /** Ends the connection, and what waits. Idempotent. */
  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    waker.wake();
    turn.lock();
    try {
      socket.close();
      arena.close();
      waker.close();
    } finally {
      turn.unlock();
    }
  }

  @Override
  public String toString() {
    return "vfio-user " + path;
  }
}
