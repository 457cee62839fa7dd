// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.VirtioDevice;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.FdSink;
import io.jvirtio.linux.SocketServer;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.WokenException;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Serves one device to vhost-user front-ends, one after another.
 *
 * <p>The thread that calls {@link #serve} is the control thread; worker threads own the queues. A
 * front-end that breaks the protocol loses its connection, and the next one is served.
 */
public final class VhostUserServer extends SocketServer {
  private static final Logger LOG = System.getLogger(VhostUserServer.class.getName());

  /** The most queues of a device: vring indexes have eight bits in messages with descriptors. */
  public static final int MAX_QUEUES = 256;

  /** How long a front-end may take from the first byte of a message to its last. */
  private static final Duration MESSAGE_DEADLINE = Duration.ofSeconds(10);

  private final VirtioDevice device;
  private final VhostUserOptions options;
  private final List<EventLoop> workers = new ArrayList<>();
  private VhostUserStats past = VhostUserStats.ZERO;
  private VhostUserSession current;

  /**
   * Starts the workers.
   *
   * @param device the device; it belongs to this server
   * @throws IllegalArgumentException when the device has more than {@link #MAX_QUEUES} queues
   * @throws IOException when the process has no more room for descriptors
   */
  public VhostUserServer(VirtioDevice device, VhostUserOptions options) throws IOException {
    if (device.queueCount() > MAX_QUEUES) {
      throw new IllegalArgumentException(
          device.queueCount() + " queues, vhost-user has at most " + MAX_QUEUES);
    }
    super(options.oneShot());
    this.device = device;
    this.options = options;
    int count = Math.min(options.workers(), device.queueCount());
    for (int i = 0; i < count; i++) {
      workers.add(
          EventLoop.start(
              "virtio-worker-" + i,
              options.mode(),
              options.pollWindow(),
              (source, fault) -> LOG.log(Level.ERROR, "worker: unexpected failure", fault)));
    }
  }

  @Override
  public void serve(UnixSocket connection) {
    connection.setReceiveTimeout(MESSAGE_DEADLINE);
    connection.setSendTimeout(MESSAGE_DEADLINE);
    VhostUserSession session = new VhostUserSession(device, options.ringFeatures(), workers);
    synchronized (this) {
      current = session;
    }
    long protocolFaults = 0;
    LOG.log(Level.INFO, "front-end connected");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer =
          arena.allocate(VhostUserCodec.HEADER_SIZE + VhostUserCodec.MAX_PAYLOAD, 8);
      while (!isStopping() && connection.awaitReadable(-1) && step(session, connection, buffer)) {
        // Each step is one message.
      }
    } catch (WokenException e) {
      LOG.log(Level.DEBUG, "woken");
    } catch (ProtocolFault e) {
      protocolFaults = 1;
      LOG.log(Level.WARNING, "front-end sent away: {0}", e.getMessage());
    } catch (IOException e) {
      protocolFaults = 1;
      LOG.log(Level.WARNING, "connection failed: {0}", e.getMessage());
    } catch (RuntimeException e) {
      LOG.log(Level.ERROR, "session failed", e);
    } finally {
      session.close();
      finish(session, protocolFaults);
      LOG.log(Level.INFO, "front-end disconnected");
    }
  }

  private synchronized void finish(VhostUserSession session, long protocolFaults) {
    VhostUserStats last = session.stats();
    past = past.plus(last);
    if (protocolFaults != 0) {
      past =
          past.plus(
              new VhostUserStats(
                  0, last.negotiated(), last.protocolFeatures(), 0, 0, 0, 0, 0, protocolFaults));
    }
    current = null;
  }

  /** Receives, handles and answers one message; false at the end of the stream. */
  private static boolean step(VhostUserSession session, UnixSocket connection, MemorySegment buffer)
      throws IOException, ProtocolFault {
    List<Fd> fds = new ArrayList<>();
    // One more than any message may have is enough to send its sender away.
    FdSink sink =
        fd -> {
          if (fds.size() <= VhostUserCodec.MAX_TABLE_REGIONS) {
            fds.add(fd);
          } else {
            fd.close();
          }
        };
    try {
      if (!connection.receive(buffer, VhostUserCodec.HEADER_SIZE, sink)) {
        return false;
      }
      VhostUserCodec.Header header =
          VhostUserCodec.header(buffer.asSlice(0, VhostUserCodec.HEADER_SIZE).asByteBuffer());
      if (header.size() > 0 && !connection.receive(buffer, header.size(), sink)) {
        throw new ProtocolFault(header.request() + " ends in its middle");
      }
      ByteBuffer payload = buffer.asSlice(0, header.size()).asByteBuffer();
      ByteBuffer reply = handle(session, header, payload, fds);
      if (reply != null) {
        send(connection, buffer, reply);
      }
      return true;
    } finally {
      for (Fd fd : fds) {
        fd.close();
      }
    }
  }

  private static ByteBuffer handle(
      VhostUserSession session, VhostUserCodec.Header header, ByteBuffer payload, List<Fd> fds)
      throws IOException, ProtocolFault {
    VhostUserRequest request = header.request();
    FrontEndMessage message = VhostUserCodec.payload(request, payload, fds.size());
    LOG.log(Level.DEBUG, "{0}", message);
    // Whether to acknowledge is settled before the message: SET_PROTOCOL_FEATURES may change it.
    boolean acknowledge = header.needReply() && session.hasReplyAck() && !request.isAnswered();
    long result = 0;
    try {
      ByteBuffer reply = session.handle(message, fds);
      if (request.isAnswered()) {
        return reply;
      }
    } catch (PeerFault refused) {
      LOG.log(Level.WARNING, "{0} refused: {1}", request, refused.getMessage());
      if (request == VhostUserRequest.GET_CONFIG) {
        return VhostUserCodec.reply(request, 0, 0, null);
      }
      result = 1;
    }
    return acknowledge ? VhostUserCodec.reply(request, result) : null;
  }

  private static void send(UnixSocket connection, MemorySegment buffer, ByteBuffer reply)
      throws IOException {
    int length = reply.remaining();
    MemorySegment.copy(MemorySegment.ofBuffer(reply), 0, buffer, 0, length);
    connection.send(buffer, length);
  }

  /** What happened so far. Any thread. */
  public synchronized VhostUserStats stats() {
    return current == null ? past : past.plus(current.stats());
  }

  /** Stops, and ends the workers. Not before {@link #serve} has returned. */
  @Override
  public void close() {
    stop();
    for (EventLoop worker : workers) {
      worker.close();
    }
    super.close();
  }
}
