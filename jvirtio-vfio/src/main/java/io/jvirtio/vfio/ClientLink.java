// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.UnixSocket;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/**
 * What is sent to a client: replies of the control thread, and commands of workers between them.
 * Any thread.
 */
final class ClientLink {
  private final UnixSocket socket;
  private final MemorySegment buffer =
      Arena.ofAuto().allocate(VfioUserCodec.HEADER_SIZE + VfioUserCodec.MAX_PAYLOAD, 8);

  ClientLink(UnixSocket socket) {
    this.socket = socket;
  }

  /** Sends a message, from its start to its position. */
  synchronized void send(ByteBuffer message) throws IOException {
    int length = message.position();
    MemorySegment.copy(MemorySegment.ofBuffer(message.flip()), 0, buffer, 0, length);
    socket.send(buffer, length);
  }
}
