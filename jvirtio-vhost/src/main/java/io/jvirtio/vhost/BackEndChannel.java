// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.UnixSocket;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.time.Duration;

/**
 * The channel for requests of the back-end ("Back-end communication"). Thread-safe.
 *
 * <p>No reply is asked for, so nothing here waits for the front-end, which may itself wait for us.
 */
final class BackEndChannel implements AutoCloseable {
  private static final Logger LOG = System.getLogger(BackEndChannel.class.getName());
  private static final int CONFIG_CHANGE_MSG = 2;

  private final UnixSocket socket;
  private boolean closed;

  BackEndChannel(Fd fd) throws IOException {
    boolean done = false;
    try {
      socket = UnixSocket.of(fd, null);
      // A front-end that does not read must not hold up a queue's owner.
      socket.setSendTimeout(Duration.ofMillis(1));
      done = true;
    } finally {
      if (!done) {
        fd.close();
      }
    }
  }

  /** Tells the front-end that the device configuration space has changed. */
  synchronized void configurationChanged() {
    if (closed) {
      return;
    }
    ByteBuffer message = VhostUserCodec.backEndMessage(CONFIG_CHANGE_MSG);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(message.remaining());
      bytes.copyFrom(MemorySegment.ofBuffer(message));
      socket.send(bytes, message.remaining());
    } catch (IOException e) {
      LOG.log(Level.WARNING, "configuration change not delivered: {0}", e.getMessage());
    }
  }

  @Override
  public synchronized void close() {
    closed = true;
    socket.close();
  }
}
