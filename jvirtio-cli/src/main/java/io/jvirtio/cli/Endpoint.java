// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.SocketServer;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.UnixSocket;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Where a command serves: a path, or a descriptor that it was given. A picocli group. */
final class Endpoint {
  @Option(
      names = "--socket-path",
      required = true,
      paramLabel = "PATH",
      description = "Listen on a UNIX socket at this path.")
  private Path socketPath;

  @Option(
      names = "--fd",
      required = true,
      paramLabel = "N",
      description = "Use this inherited socket, listening or connected.")
  private Integer fd;

  /** For picocli. */
  Endpoint() {}

  /**
   * Checks what can be checked before anything is opened.
   *
   * @throws IllegalArgumentException when it cannot be one
   */
  void check() {
    if (fd != null && fd < 0) {
      throw new IllegalArgumentException("--fd is " + fd + ", must not be negative");
    }
  }

  /** For people. */
  @Override
  public String toString() {
    return fd == null ? socketPath.toString() : "descriptor " + fd;
  }

  /**
   * Serves there until the server is stopped.
   *
   * @param ready runs when there is a socket
   */
  void serve(SocketServer server, Runnable ready) throws IOException, CliException {
    if (fd != null) {
      serveFd(server, ready);
      return;
    }
    try (UnixServerSocket socket = bind(server)) {
      ready.run();
      server.serve(socket);
    }
  }

  private UnixServerSocket bind(SocketServer server) throws IOException, CliException {
    try {
      return UnixServerSocket.bind(socketPath, server.waker());
    } catch (LinuxException e) {
      throw Hints.socket(e, socketPath);
    }
  }

  private void serveFd(SocketServer server, Runnable ready) throws IOException, CliException {
    Fd inherited = new Fd(fd);
    boolean listening;
    try {
      listening = UnixServerSocket.isListening(inherited);
    } catch (LinuxException e) {
      throw new CliException(
          "--fd="
              + fd
              + " is no UNIX stream socket ("
              + e.getMessage()
              + "): hand down a listening or a connected one",
          e);
    }
    ready.run();
    if (listening) {
      try (UnixServerSocket socket = UnixServerSocket.of(inherited, server.waker())) {
        server.serve(socket);
      }
    } else {
      try (UnixSocket socket = UnixSocket.of(inherited, server.waker())) {
        server.serve(socket);
      }
    }
  }
}
