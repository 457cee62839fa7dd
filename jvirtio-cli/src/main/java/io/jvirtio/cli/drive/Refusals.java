// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.linux.Errno;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Why there is no device to talk to, and what to do about it. */
final class Refusals {
  private Refusals() {}

  /** Explains a failure to connect, or of the first messages. */
  static CliException connecting(IOException e, Path socket) {
    if (e instanceof LinuxException system) {
      return system(
          system,
          socket,
          "start a device there first, such as with: jvirtio blk --socket-path="
              + socket
              + " --blk-file=IMAGE",
          "of a vhost-user back-end");
    }
    if (e instanceof SocketTimeoutException) {
      return new CliException(
          "the server at "
              + socket
              + " takes no more connections now: try again, or see whether"
              + " it hangs",
          e);
    }
    if (e.getCause() instanceof SocketTimeoutException) {
      return new CliException(
          socket
              + ": "
              + e.getMessage()
              + ": it may serve another front-end now, as many serve one at a time (end that), be"
              + " slow (see --timeout), or be no vhost-user back-end",
          e);
    }
    return talking(e, socket.toString());
  }

  /**
   * Explains why a socket cannot be connected to.
   *
   * @param start how its server is started
   * @param whose whose socket it should be
   */
  static CliException system(LinuxException e, Path socket, String start, String whose) {
    String text =
        switch (e.errno()) {
          case Errno.ENOENT, Errno.ENOTDIR -> "there is no socket " + socket + ": " + start;
          case Errno.ECONNREFUSED ->
              Files.isRegularFile(socket) || Files.isDirectory(socket)
                  ? socket + " is not a socket: name the socket " + whose
                  : "nobody listens on " + socket + ": the server has ended, start it again";
          case Errno.EACCES, Errno.EPERM ->
              "not allowed to connect to "
                  + socket
                  + ": run as the user of its server, or change its permissions (ls -l "
                  + socket
                  + ")";
          case Errno.EPROTOTYPE ->
              socket + " is a socket of another kind than that " + whose + ": name a stream socket";
          case Errno.ENAMETOOLONG ->
              "socket path " + socket + " is too long: at most 107 bytes, name a shorter path";
          default -> socket + ": " + e.getMessage();
        };
    return new CliException(text, e);
  }

  /** What an exception says, if it says anything. */
  static String text(Exception e) {
    return e.getMessage() == null ? e.toString() : e.getMessage();
  }

  /**
   * Explains a failure of a connection that worked.
   *
   * @param where the place of the device
   */
  static CliException talking(Exception e, String where) {
    FaultReason reason = reason(e);
    if (reason == FaultReason.DEVICE_GONE) {
      return new CliException(
          "lost the device at " + where + ": its server has ended or closed the connection", e);
    }
    if (reason == FaultReason.DEVICE_SILENT) {
      return new CliException(
          "the device at " + where + " takes too long for a request: it, or its storage, hangs", e);
    }
    String text = text(e);
    return new CliException(text.contains(where) ? text : where + ": " + text, e);
  }

  /** What broke the queue, if that is what happened. */
  private static FaultReason reason(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof PeerFault fault) {
        return fault.reason();
      }
    }
    return null;
  }
}
