// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;

/** What the two ends of a UNIX domain socket have in common. Any thread. */
final class Sockets {
  static final int AF_UNIX = 1;
  static final int SOCK_STREAM = 1;
  static final int SOCK_NONBLOCK = 0x800;
  static final int SOCK_CLOEXEC = 0x80000;

  static final int SO_TYPE = 3;
  static final int SO_SNDTIMEO = 21;
  static final int SO_ACCEPTCONN = 30;
  static final int SO_DOMAIN = 39;

  /** Bytes of {@code sun_path}, the closing NUL among them. */
  static final int SUN_PATH_SIZE = 108;

  private static final int SOL_SOCKET = 1;
  private static final int SUN_PATH = 2;

  // Well within what a long holds of nanoseconds.
  private static final Duration CENTURY = Duration.ofDays(36_500);

  private Sockets() {}

  /** A new stream socket, with FD_CLOEXEC. */
  static Fd open(int flags) throws LinuxException {
    long fd = Libc.call(SystemCall.SOCKET, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    return new Fd((int) LinuxException.check("socket", fd));
  }

  /** Refuses a path that no socket address can hold. */
  static void checkLength(Path path) throws LinuxException {
    int length = path.toString().getBytes(StandardCharsets.UTF_8).length;
    if (length >= SUN_PATH_SIZE) {
      String detail = "the path has " + length + " bytes, at most 107 fit into a socket address";
      throw new LinuxException("socket", path.toString(), Errno.ENAMETOOLONG, detail);
    }
  }

  /**
   * Calls bind or connect.
   *
   * @param path checked by {@link #checkLength}
   * @return 0 or a negated error number
   */
  static long callWithAddress(long number, Fd fd, Path path) {
    byte[] bytes = path.toString().getBytes(StandardCharsets.UTF_8);
    // struct sockaddr_un: the family in 16 bits, then the path.
    MemorySegment address = Libc.scratch().asSlice(0, SUN_PATH + SUN_PATH_SIZE).fill((byte) 0);
    address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
    MemorySegment.copy(bytes, 0, address, ValueLayout.JAVA_BYTE, SUN_PATH, bytes.length);
    return Libc.retry(number, fd.value(), address.address(), SUN_PATH + bytes.length + 1);
  }

  /** An option of type int at the level SOL_SOCKET. */
  static int option(Fd fd, int option) throws LinuxException {
    long value = Libc.scratch().address();
    long length = value + 8;
    RawMemory.putInt(length, 4);
    long result =
        Libc.call(SystemCall.GETSOCKOPT, fd.value(), SOL_SOCKET, option, value, length, 0);
    if (result < 0) {
      throw new LinuxException("getsockopt", fd.toString(), (int) -result, "");
    }
    return RawMemory.getInt(value);
  }

  /** The longest time that a blocking connect waits. */
  static void setSendTimeout(Fd fd, Duration timeout) throws LinuxException {
    long timeval = Libc.scratch().address();
    RawMemory.putLong(timeval, timeout.toSeconds());
    RawMemory.putLong(timeval + 8, timeout.toNanosPart() / 1000);
    long result =
        Libc.call(SystemCall.SETSOCKOPT, fd.value(), SOL_SOCKET, SO_SNDTIMEO, timeval, 16, 0);
    LinuxException.check("setsockopt", result);
  }

  /** Refuses what is not a stream socket of the UNIX domain. */
  static void checkUnixStream(Fd fd) throws LinuxException {
    if (option(fd, SO_DOMAIN) != AF_UNIX || option(fd, SO_TYPE) != SOCK_STREAM) {
      throw new LinuxException(
          "getsockopt", fd.toString(), Errno.EPROTOTYPE, "not a UNIX domain stream socket");
    }
  }

  /** Whether a socket listens (SO_ACCEPTCONN). */
  static boolean isListening(Fd fd) throws LinuxException {
    return option(fd, SO_ACCEPTCONN) != 0;
  }

  /**
   * The end of a wait as a point of {@link System#nanoTime}; of null, or of a century and more, no
   * end.
   */
  static long deadline(Duration timeout) {
    if (timeout == null || timeout.compareTo(CENTURY) >= 0) {
      return Poll.FOREVER;
    }
    return System.nanoTime() + (timeout.isNegative() ? 0 : timeout.toNanos());
  }

  /** As {@link #deadline}, of milliseconds, where a negative number is no limit. */
  static long deadlineMillis(int timeout) {
    return deadline(timeout < 0 ? null : Duration.ofMillis(timeout));
  }
}
