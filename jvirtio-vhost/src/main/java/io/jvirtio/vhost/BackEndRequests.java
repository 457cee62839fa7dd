// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.time.Duration;

/**
 * The channel on which a back-end makes requests, as its front-end serves it ("Back-end
 * communication"). Only a change of the configuration is served; every other request is refused,
 * and what is malformed is a fault.
 *
 * <p>Owner only, once watched; {@link #wake} from any thread.
 */
final class BackEndRequests implements AutoCloseable {
  private static final Logger LOG = System.getLogger(BackEndRequests.class.getName());
  private static final int BATCH = 64;

  private final UnixSocket socket;
  private final Waker waker;
  private final boolean replyAck;
  private final MemorySegment buffer =
      Arena.ofAuto().allocate(VhostUserCodec.HEADER_SIZE + VhostUserCodec.MAX_PAYLOAD, 8);
  private int fds;
  private int changes;
  private boolean ended;
  private QueueOwner watcher;

  /** Takes over the socket and the waker that ends its waits. */
  BackEndRequests(UnixSocket socket, Waker waker, Duration deadline, boolean replyAck) {
    this.socket = socket;
    this.waker = waker;
    this.replyAck = replyAck;
    socket.setReceiveTimeout(deadline);
    socket.setSendTimeout(deadline);
  }

  /** Lets the owner wake up when there is a request. On the owner. */
  void watchOn(QueueOwner owner) {
    owner.watch(socket.fd().value());
    watcher = owner;
  }

  /**
   * Serves what has arrived, up to a batch.
   *
   * @return whether there was anything, so that there may be more
   * @throws ProtocolFault when it is not what the protocol allows
   * @throws IOException when a message does not come whole, or its answer is not taken
   */
  boolean serve() throws ProtocolFault, IOException {
    int served = 0;
    while (served < BATCH && !ended && socket.awaitReadable(0)) {
      serveOne();
      served++;
    }
    return served > 0;
  }

  private void serveOne() throws ProtocolFault, IOException {
    fds = 0;
    if (!socket.receive(buffer, VhostUserCodec.HEADER_SIZE, this::refuseFd)) {
      // It needs no channel to serve its vrings; when it goes away, the control socket tells.
      ended = true;
      return;
    }
    FrontEndCodec.BackEndHeader header =
        FrontEndCodec.backEndHeader(buffer.asSlice(0, VhostUserCodec.HEADER_SIZE).asByteBuffer());
    if (header.size() > 0 && !socket.receive(buffer, header.size(), this::refuseFd)) {
      throw new ProtocolFault("request of the back-end ends in its middle");
    }
    boolean known = header.id() == FrontEndCodec.BACKEND_CONFIG_CHANGE_MSG;
    if (known && fds > 0) {
      throw new ProtocolFault("CONFIG_CHANGE_MSG came with " + fds + " descriptors");
    }
    if (known) {
      changes++;
    } else {
      LOG.log(
          Level.WARNING,
          "request {0} of the back-end refused",
          Integer.toUnsignedString(header.id()));
    }
    if (header.needReply() && replyAck) {
      answer(FrontEndCodec.backEndReply(header.id(), known ? 0 : 1));
    }
  }

  // No request that was negotiated has a descriptor.
  private void refuseFd(Fd fd) {
    fds++;
    fd.close();
  }

  private void answer(ByteBuffer reply) throws IOException {
    int length = reply.remaining();
    MemorySegment.copy(MemorySegment.ofBuffer(reply), 0, buffer, 0, length);
    socket.send(buffer, length);
  }

  /** How many changes of the configuration were told since the last call. */
  int takeChanges() {
    int taken = changes;
    changes = 0;
    return taken;
  }

  /** Ends a wait of the owner. Any thread, before {@link #close}. */
  void wake() {
    waker.wake();
  }

  @Override
  public void close() {
    if (watcher != null && socket.fd().isOpen()) {
      try {
        watcher.unwatch(socket.fd().value());
      } catch (UncheckedIOException | IllegalStateException e) {
        LOG.log(Level.DEBUG, "channel of the back-end: {0}", e.getMessage());
      }
    }
    socket.close();
    waker.close();
  }
}
