// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;

/**
 * A listening UNIX domain stream socket.
 *
 * <p>One thread accepts; any thread may wake it through the {@link Waker}.
 */
public final class UnixServerSocket implements AutoCloseable {
  private static final int BACKLOG = 128;

  private final Fd fd;
  private final Waker waker;
  private final Path path;
  private final FileStatus file;

  private UnixServerSocket(Fd fd, Waker waker, Path path, FileStatus file) {
    this.fd = fd;
    this.waker = waker;
    this.path = path;
    this.file = file;
  }

  /**
   * Takes over a socket that listens already, as a parent process hands it down.
   *
   * @param fd closed by {@link #close} from now on; it is made non-blocking
   * @param waker ends the waits of this socket and of those it accepts; may be null
   * @throws LinuxException when it is no UNIX domain stream socket or does not listen (EINVAL); the
   *     descriptor stays the caller's
   */
  public static UnixServerSocket of(Fd fd, Waker waker) throws LinuxException {
    Sockets.checkUnixStream(fd);
    if (!Sockets.isListening(fd)) {
      throw new LinuxException("accept", fd.toString(), Errno.EINVAL, "the socket does not listen");
    }
    // Between poll and accept a client may leave: a blocking accept would wait for the next.
    fd.setNonBlocking();
    return new UnixServerSocket(fd, waker, null, null);
  }

  /**
   * Whether a descriptor is a socket that listens (SO_ACCEPTCONN), as opposed to a connected one.
   * Any thread.
   *
   * @throws LinuxException when it is no socket (ENOTSOCK), or not a UNIX domain stream socket
   */
  public static boolean isListening(Fd fd) throws LinuxException {
    Sockets.checkUnixStream(fd);
    return Sockets.isListening(fd);
  }

  /**
   * Listens at a path. A socket that a dead server left there is replaced; a living server is not,
   * nor is any other file.
   *
   * @param path at most 107 bytes
   * @param waker ends the waits of this socket and of those it accepts; may be null
   * @throws LinuxException when the path is too long (ENAMETOOLONG), its directory is missing
   *     (ENOENT), somebody listens there or it is no socket (EADDRINUSE), or it is not permitted
   */
  public static UnixServerSocket bind(Path path, Waker waker) throws IOException {
    Sockets.checkLength(path);
    Fd fd = Sockets.open(Sockets.SOCK_NONBLOCK);
    boolean done = false;
    try {
      long result = Sockets.callWithAddress(SystemCall.BIND, fd, path);
      if (result == -Errno.EADDRINUSE) {
        removeStale(path);
        result = Sockets.callWithAddress(SystemCall.BIND, fd, path);
      }
      if (result < 0) {
        throw bindFailure(path, (int) -result);
      }
      FileStatus file = FileStatus.of(path);
      long listening = Libc.call(SystemCall.LISTEN, fd.value(), BACKLOG, 0);
      LinuxException.check("listen", listening);
      done = true;
      return new UnixServerSocket(fd, waker, path, file);
    } finally {
      if (!done) {
        fd.close();
      }
    }
  }

  private static void removeStale(Path path) throws IOException {
    FileStatus status = FileStatus.of(path);
    if (status.type() != FileType.SOCKET) {
      throw inUse(path, "it exists and is not a socket");
    }
    try (Fd probe = Sockets.open(Sockets.SOCK_NONBLOCK)) {
      long result = Sockets.callWithAddress(SystemCall.CONNECT, probe, path);
      if (result == -Errno.ENOENT) {
        return; // Its server has removed it meanwhile.
      }
      if (result == 0 || result == -Errno.EAGAIN || result == -Errno.EPROTOTYPE) {
        throw inUse(path, "another server listens there");
      }
      if (result != -Errno.ECONNREFUSED) {
        String detail = "it exists and cannot be asked whether a server lives";
        throw new LinuxException("connect", path.toString(), (int) -result, detail);
      }
    }
    Files.deleteIfExists(path);
  }

  private static LinuxException inUse(Path path, String detail) {
    return new LinuxException("bind", path.toString(), Errno.EADDRINUSE, detail);
  }

  private static LinuxException bindFailure(Path path, int errno) {
    Path directory = path.toAbsolutePath().getParent();
    String detail = "";
    if (errno == Errno.ENOENT && !Files.isDirectory(directory)) {
      detail = "there is no directory " + directory;
    } else if (errno == Errno.EACCES) {
      detail = "not allowed to make files in " + directory;
    }
    return new LinuxException("bind", path.toString(), errno, detail);
  }

  /**
   * Waits for a connection.
   *
   * @return connected, with the waker of this socket
   * @throws WokenException when the waker ended the wait
   * @throws LinuxException when closed, or when the process has no more room for descriptors
   *     (EMFILE), where the connection stays in the queue
   */
  public UnixSocket accept() throws IOException {
    while (true) {
      if (Poll.await(fd.value(), Poll.IN, waker, Poll.FOREVER) == Poll.Outcome.WOKEN) {
        throw new WokenException("accept");
      }
      int flags = Sockets.SOCK_CLOEXEC;
      long result = Libc.retry(SystemCall.ACCEPT4, fd.value(), 0, 0, flags, 0, 0);
      if (result != -Errno.EAGAIN && result != -Errno.ECONNABORTED) {
        int connected = (int) LinuxException.check("accept", result);
        return new UnixSocket(new Fd(connected), waker, UnixSocket.MAX_FDS);
      }
    }
  }

  /**
   * Waits until a connection can be accepted.
   *
   * @param timeoutMillis the longest time to wait; negative for no limit
   * @return false when the time was over or the waker ended the wait
   * @throws LinuxException when closed
   */
  public boolean awaitReadable(int timeoutMillis) throws LinuxException {
    return Poll.await(fd.value(), Poll.IN, waker, Sockets.deadlineMillis(timeoutMillis))
        == Poll.Outcome.READY;
  }

  /** The descriptor, which stays this object's. */
  public Fd fd() {
    return fd;
  }

  /**
   * Closes the socket and removes its file, if this object made it and nobody has replaced it.
   * Idempotent. Wake whoever accepts first.
   */
  @Override
  public void close() {
    if (fd.isOpen() && path != null) {
      removeOwnFile();
    }
    fd.close();
  }

  private void removeOwnFile() {
    try {
      if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
        return;
      }
      FileStatus now = FileStatus.of(path);
      if (now.device() == file.device() && now.inode() == file.inode()) {
        Files.deleteIfExists(path);
      }
    } catch (IOException e) {
      System.getLogger(UnixServerSocket.class.getName())
          .log(System.Logger.Level.WARNING, "cannot remove " + path, e);
    }
  }
}
