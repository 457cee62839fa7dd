// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;

/**
 * Behind a socket of a vhost-user back-end.
 *
 * @param socket its path
 * @param timeout the longest wait for an answer
 */
record VhostUserPlace(Path socket, Duration timeout) implements Place {
  /** How to connect, with that patience. */
  VhostUserFrontEndOptions frontEnd() {
    return VhostUserFrontEndOptions.defaults()
        .withConnectTimeout(timeout)
        .withReplyDeadline(timeout);
  }

  @Override
  public Link connect(DeviceType type, Need need) throws CliException {
    VhostUserFrontEndOptions how = frontEnd().withMemory(need.memory(), need.growth());
    if (need.queueSize() != 0) {
      how = how.withMaxQueueSize(need.queueSize());
    }
    try {
      VhostUserTransport transport = VhostUserTransport.connect(socket, type.id(), how);
      boolean done = false;
      try {
        check(transport, type);
        done = true;
      } finally {
        if (!done) {
          transport.close();
        }
      }
      return new Link(transport, () -> {});
    } catch (IOException e) {
      throw connecting(e);
    }
  }

  /** What is surely no disk must not be written to as one. */
  private void check(VhostUserTransport transport, DeviceType type)
      throws IOException, CliException {
    Probe probe = Probe.of(transport, null);
    if (probe.isSurelyNot(type)) {
      throw new CliException(
          "the device at "
              + socket
              + " is no block device, but most likely of type "
              + probe.type().shortName()
              + ": see jvirtio probe --socket-path="
              + socket);
    }
  }

  @Override
  public CliException connecting(IOException e) {
    return Refusals.connecting(e, socket);
  }

  @Override
  public String toString() {
    return socket.toString();
  }
}
