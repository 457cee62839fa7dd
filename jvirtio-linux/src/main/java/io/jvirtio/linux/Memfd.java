// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.lang.foreign.Arena;
import java.util.EnumSet;
import java.util.Set;

/** Files that exist only in memory, to be shared by sending their descriptor. Any thread. */
public final class Memfd {
  private static final int MFD_CLOEXEC = 1;
  private static final int MFD_ALLOW_SEALING = 2;
  private static final int F_ADD_SEALS = 1033;
  private static final int F_GET_SEALS = 1034;

  private Memfd() {}

  /**
   * A new memfd, filled with zeroes.
   *
   * @param name shown in {@code /proc}, at most 249 bytes
   * @param size bytes, 0 or more
   * @param seals added once it has its size
   * @throws LinuxException when there is no room
   */
  public static Fd create(String name, long size, Seal... seals) throws LinuxException {
    Fd fd;
    try (Arena arena = Arena.ofConfined()) {
      long address = arena.allocateFrom(name).address();
      long flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
      long result = Libc.retry(SystemCall.MEMFD_CREATE, address, flags, 0);
      fd = new Fd((int) LinuxException.check("memfd_create", result));
    }
    try {
      resize(fd, size);
      int bits = 0;
      for (Seal seal : seals) {
        bits |= seal.bit();
      }
      if (bits != 0) {
        long result = Libc.retry(SystemCall.FCNTL, fd.value(), F_ADD_SEALS, bits);
        LinuxException.check("fcntl(F_ADD_SEALS)", result);
      }
      return fd;
    } catch (LinuxException | RuntimeException e) {
      fd.close();
      throw e;
    }
  }

  /**
   * Sets the size of a memfd or of any regular file.
   *
   * @param size bytes, 0 or more
   * @throws LinuxException when a seal forbids it (EPERM), or there is no room
   */
  public static void resize(Fd fd, long size) throws LinuxException {
    LinuxException.check("ftruncate", Libc.retry(SystemCall.FTRUNCATE, fd.value(), size, 0));
  }

  /**
   * The seals of a file; none for a file that cannot have any.
   *
   * @throws LinuxException when closed
   */
  public static Set<Seal> seals(Fd fd) throws LinuxException {
    long bits = Libc.retry(SystemCall.FCNTL, fd.value(), F_GET_SEALS, 0);
    Set<Seal> seals = EnumSet.noneOf(Seal.class);
    if (bits == -Errno.EINVAL) {
      return seals;
    }
    LinuxException.check("fcntl(F_GET_SEALS)", bits);
    for (Seal seal : Seal.values()) {
      if ((bits & seal.bit()) != 0) {
        seals.add(seal);
      }
    }
    return seals;
  }
}
