// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * A back-end that answers every message as it should, but processes nothing; a test makes it answer
 * otherwise. One thread, one front-end after another.
 */
final class ScriptedBackEnd implements AutoCloseable {
  static final long EVERYTHING = VhostUserSession.PROTOCOL_FEATURES;

  /** What a test does instead of a proper answer. */
  @FunctionalInterface
  interface Answer {
    /**
     * Answers.
     *
     * @param proper what should be answered; null when nothing should
     * @return whether the connection goes on
     */
    boolean answer(ScriptedBackEnd backEnd, byte[] proper) throws IOException;
  }

  final List<VhostUserRequest> seen = new CopyOnWriteArrayList<>();
  volatile long features = Driving.FEATURES.low() | FrontEnd.PROTOCOL_BIT;
  volatile long protocolFeatures = EVERYTHING;
  volatile long queueNum = 2;
  volatile long slots = 8;

  /** The back-end's end of its channel, once the front-end has sent it. */
  volatile UnixSocket channel;

  final Map<Integer, EventFd> errors = new ConcurrentHashMap<>();
  private final Map<VhostUserRequest, Answer> answers = new EnumMap<>(VhostUserRequest.class);
  private final Waker waker = new Waker();
  private final UnixServerSocket server;
  private final Thread thread;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate(8192, 8);
  private volatile UnixSocket connection;
  private volatile boolean stopping;
  private boolean acknowledges;
  private long status;

  ScriptedBackEnd(Path socket) throws IOException {
    server = UnixServerSocket.bind(socket, waker);
    thread = Thread.ofPlatform().name("scripted back-end").unstarted(this::run);
  }

  /** Answers one message otherwise. Before {@link #start}. */
  ScriptedBackEnd on(VhostUserRequest request, Answer answer) {
    answers.put(request, answer);
    return this;
  }

  ScriptedBackEnd start() {
    thread.start();
    return this;
  }

  private void run() {
    while (!stopping) {
      try (UnixSocket accepted = server.accept()) {
        connection = accepted;
        acknowledges = false;
        status = 0;
        while (!stopping && step()) {
          // Each step is one message.
        }
      } catch (IOException gone) {
        // The next front-end, or the end.
      } finally {
        forget();
      }
    }
  }

  private void forget() {
    errors.values().forEach(EventFd::close);
    errors.clear();
    if (channel != null) {
      channel.close();
    }
    channel = null;
  }

  private boolean step() throws IOException {
    List<Fd> fds = new ArrayList<>();
    try {
      if (!connection.receive(buffer, 12, fds::add)) {
        return false;
      }
      ByteBuffer in = buffer.asSlice(0, 12).asByteBuffer().order(ByteOrder.nativeOrder());
      VhostUserRequest request = VhostUserRequest.of(in.getInt());
      boolean needReply = (in.getInt() & FrontEnd.NEED_REPLY) != 0 && acknowledges;
      int size = in.getInt();
      if (size > 0) {
        connection.receive(buffer, size, fds::add);
      }
      byte[] payload = new byte[size];
      MemorySegment.copy(buffer, 0, MemorySegment.ofArray(payload), 0, size);
      seen.add(request);
      byte[] reply = handle(request, ByteBuffer.wrap(payload).order(ByteOrder.nativeOrder()), fds);
      if (reply == null && needReply) {
        reply = FrontEnd.u64(0);
      }
      byte[] proper = reply == null ? null : message(request, reply);
      Answer answer = answers.get(request);
      if (answer != null) {
        return answer.answer(this, proper);
      }
      if (proper != null) {
        send(proper);
      }
      return true;
    } finally {
      fds.forEach(Fd::close);
    }
  }

  private byte[] handle(VhostUserRequest request, ByteBuffer in, List<Fd> fds) throws IOException {
    return switch (request) {
      case GET_FEATURES -> FrontEnd.u64(features);
      case GET_PROTOCOL_FEATURES -> FrontEnd.u64(protocolFeatures);
      case GET_QUEUE_NUM -> FrontEnd.u64(queueNum);
      case GET_MAX_MEM_SLOTS -> FrontEnd.u64(slots);
      case GET_STATUS -> FrontEnd.u64(status);
      case GET_VRING_BASE -> FrontEnd.state(in.getInt(), 0);
      case GET_CONFIG -> in.array();
      case SET_PROTOCOL_FEATURES -> {
        acknowledges = (in.getLong() >>> ProtocolFeatures.REPLY_ACK & 1) != 0;
        yield null;
      }
      case SET_STATUS -> {
        status = in.getLong();
        yield null;
      }
      case SET_BACKEND_REQ_FD -> {
        channel = UnixSocket.of(fds.removeFirst(), null);
        yield null;
      }
      case SET_VRING_ERR -> {
        EventFd old = errors.put(in.getInt(), EventFd.of(fds.removeFirst()));
        if (old != null) {
          old.close();
        }
        yield null;
      }
      default -> null;
    };
  }

  static byte[] message(VhostUserRequest request, byte[] payload) {
    byte[] head = FrontEnd.header(request.id(), 5, payload.length);
    return FrontEnd.bytes(12 + payload.length, out -> out.put(head).put(payload));
  }

  /** Sends bytes, whatever they are. */
  void send(byte[] bytes, int... fds) throws IOException {
    send(connection, bytes, fds);
  }

  static void send(UnixSocket to, byte[] bytes, int... fds) throws IOException {
    try (Arena confined = Arena.ofConfined()) {
      MemorySegment copy = confined.allocate(bytes.length);
      copy.copyFrom(MemorySegment.ofArray(bytes));
      to.send(copy, bytes.length, fds);
    }
  }

  /** Ends the thread, and what it has open. */
  void stop() {
    stopping = true;
    waker.wake();
    try {
      if (!thread.join(Duration.ofSeconds(20))) {
        throw new AssertionError("the scripted back-end does not end");
      }
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void close() {
    stop();
    server.close();
    waker.close();
    arena.close();
  }
}
