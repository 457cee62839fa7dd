// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/**
 * Numbers of the system calls. x86-64 has a table of its own; aarch64 uses the kernel's generic one
 * (include/uapi/asm-generic/unistd.h).
 */
final class SystemCall {
  /** Whether this is x86-64; otherwise it is aarch64. */
  static final boolean X86_64 = isX86();

  static final long READ = pick(0, 63);
  static final long WRITE = pick(1, 64);
  static final long CLOSE = pick(3, 57);
  static final long LSEEK = pick(8, 62);
  static final long MMAP = pick(9, 222);
  static final long MUNMAP = pick(11, 215);
  static final long IOCTL = pick(16, 29);
  static final long PREAD64 = pick(17, 67);
  static final long PWRITE64 = pick(18, 68);
  static final long MADVISE = pick(28, 233);
  static final long SOCKET = pick(41, 198);
  static final long CONNECT = pick(42, 203);
  static final long SENDMSG = pick(46, 211);
  static final long RECVMSG = pick(47, 212);
  static final long BIND = pick(49, 200);
  static final long LISTEN = pick(50, 201);
  static final long SOCKETPAIR = pick(53, 199);
  static final long SETSOCKOPT = pick(54, 208);
  static final long GETSOCKOPT = pick(55, 209);
  static final long FCNTL = pick(72, 25);
  static final long FLOCK = pick(73, 32);
  static final long FDATASYNC = pick(75, 83);
  static final long FTRUNCATE = pick(77, 46);
  static final long FSTATFS = pick(138, 44);
  static final long SCHED_SETAFFINITY = pick(203, 122);
  static final long EPOLL_CTL = pick(233, 21);
  static final long OPENAT = pick(257, 56);
  static final long PPOLL = pick(271, 73);
  static final long EPOLL_PWAIT = pick(281, 22);
  static final long FALLOCATE = pick(285, 47);
  static final long ACCEPT4 = pick(288, 242);
  static final long EVENTFD2 = pick(290, 19);
  static final long EPOLL_CREATE1 = pick(291, 20);
  static final long MEMFD_CREATE = pick(319, 279);
  static final long PREADV2 = pick(327, 286);
  static final long PWRITEV2 = pick(328, 287);
  static final long STATX = pick(332, 291);
  static final long IO_URING_SETUP = 425;
  static final long IO_URING_ENTER = 426;
  static final long IO_URING_REGISTER = 427;

  private SystemCall() {}

  private static long pick(long x86, long generic) {
    return X86_64 ? x86 : generic;
  }

  private static boolean isX86() {
    String os = System.getProperty("os.name");
    String arch = System.getProperty("os.arch");
    if (!"Linux".equals(os)) {
      throw new UnsupportedOperationException("jvirtio-linux needs Linux, not " + os);
    }
    return switch (arch) {
      case "amd64", "x86_64" -> true;
      case "aarch64", "arm64" -> false;
      default ->
          throw new UnsupportedOperationException(
              "jvirtio-linux knows x86-64 and aarch64, not " + arch);
    };
  }
}
