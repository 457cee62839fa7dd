// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * A {@code struct msghdr} with one buffer and room for descriptors, used again for each call. Not
 * thread-safe.
 */
final class MessageHeader {
  static final int[] NONE = {};

  // struct msghdr, iovec and cmsghdr as 64-bit kernels lay them out.
  private static final int IOV = 16;
  private static final int IOVLEN = 24;
  private static final int CONTROL = 32;
  private static final int CONTROLLEN = 40;
  private static final int FLAGS = 48;
  private static final int MSGHDR_SIZE = 56;
  private static final int IOVEC_SIZE = 16;
  private static final int CMSG_LEVEL = 8;
  private static final int CMSG_TYPE = 12;
  private static final int CMSGHDR_SIZE = 16;
  private static final int SOL_SOCKET = 1;
  private static final int SCM_RIGHTS = 1;

  private final MemorySegment memory;
  private final long iovec;
  private final long control;
  private final int capacity;

  MessageHeader(int maxFds) {
    capacity = CMSGHDR_SIZE + align(4 * maxFds);
    memory = Arena.ofAuto().allocate(MSGHDR_SIZE + IOVEC_SIZE + capacity, 8);
    iovec = memory.address() + MSGHDR_SIZE;
    control = iovec + IOVEC_SIZE;
  }

  private static int align(int size) {
    return size + 7 & ~7;
  }

  /** Describes one call; {@code fds} null to receive. */
  void prepare(long buffer, int length, int[] fds) {
    long header = memory.fill((byte) 0).address();
    RawMemory.putLong(iovec, buffer);
    RawMemory.putLong(iovec + 8, length);
    RawMemory.putLong(header + IOV, iovec);
    RawMemory.putLong(header + IOVLEN, 1);
    if (fds == null) {
      RawMemory.putLong(header + CONTROL, control);
      RawMemory.putLong(header + CONTROLLEN, capacity);
    } else if (fds.length > 0) {
      RawMemory.putLong(header + CONTROL, control);
      RawMemory.putLong(header + CONTROLLEN, CMSGHDR_SIZE + align(4 * fds.length));
      RawMemory.putLong(control, CMSGHDR_SIZE + 4L * fds.length);
      RawMemory.putInt(control + CMSG_LEVEL, SOL_SOCKET);
      RawMemory.putInt(control + CMSG_TYPE, SCM_RIGHTS);
      for (int i = 0; i < fds.length; i++) {
        RawMemory.putInt(control + CMSGHDR_SIZE + 4L * i, fds[i]);
      }
    }
  }

  /** The header; this object stays reachable since its results are read after the call. */
  long address() {
    return memory.address();
  }

  int flags() {
    return RawMemory.getInt(memory.address() + FLAGS);
  }

  /** The descriptors that a call has brought, whose owner is the caller now. */
  Fd[] takeFds() {
    long end = control + RawMemory.getLong(memory.address() + CONTROLLEN);
    List<Fd> fds = new ArrayList<>();
    for (long at = control; at + CMSGHDR_SIZE <= end; ) {
      long length = RawMemory.getLong(at);
      if (length < CMSGHDR_SIZE || length > end - at) {
        break;
      }
      if (RawMemory.getInt(at + CMSG_LEVEL) == SOL_SOCKET
          && RawMemory.getInt(at + CMSG_TYPE) == SCM_RIGHTS) {
        for (long data = at + CMSGHDR_SIZE; data + 4 <= at + length; data += 4) {
          fds.add(new Fd(RawMemory.getInt(data)));
        }
      }
      at += length + 7 & ~7L;
    }
    return fds.toArray(Fd[]::new);
  }
}
