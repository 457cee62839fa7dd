// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;

/**
 * Sets an io_uring up and knows where its shared fields lie (include/uapi/linux/io_uring.h).
 *
 * <pre>
 *   one mapping:  | sq and cq head, tail, flags ... | cqes[] 16 bytes each | sq array[] |
 *   another:      | sqes[] 64 bytes each |
 * </pre>
 */
final class IoUringRings implements AutoCloseable {
  /** Bytes of a submission queue entry. */
  static final int SQE_SIZE = 64;

  /** Bytes of a completion queue entry. */
  static final int CQE_SIZE = 16;

  private static final int SETUP_CQSIZE = 1 << 3;
  private static final int SETUP_CLAMP = 1 << 4;
  private static final int SETUP_SUBMIT_ALL = 1 << 7;
  private static final int SETUP_COOP_TASKRUN = 1 << 8;
  private static final int SETUP_TASKRUN_FLAG = 1 << 9;
  private static final int SETUP_SINGLE_ISSUER = 1 << 12;

  private static final int FEAT_SINGLE_MMAP = 1;
  private static final int FEAT_NODROP = 1 << 1;
  private static final int FEAT_SUBMIT_STABLE = 1 << 2;

  // What the newest kernels understand first; Linux 6.0, 5.19 and 5.6 take one each.
  private static final int[] FLAG_SETS = {
    SETUP_SUBMIT_ALL | SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG | SETUP_SINGLE_ISSUER,
    SETUP_SUBMIT_ALL | SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG,
    0
  };

  // struct io_uring_params, with struct io_sqring_offsets at 40 and io_cqring_offsets at 80.
  private static final int PARAMS_SIZE = 120;
  private static final int SQ_ENTRIES = 0;
  private static final int CQ_ENTRIES = 4;
  private static final int FLAGS = 8;
  private static final int FEATURES = 20;
  private static final int SQ_OFF = 40;
  private static final int CQ_OFF = 80;

  private static final long OFF_SQ_RING = 0;
  private static final long OFF_SQES = 0x10000000L;
  private static final int REGISTER_PROBE = 8;
  private static final int PROBE_OPS = 64;
  private static final int MAP_SHARED_POPULATE = 0x8001;
  private static final int PROT_READ_WRITE = 3;

  private static final MemorySegment ALL = Libc.addressSpace();
  private static final VarHandle INT = ValueLayout.JAVA_INT.varHandle().withInvokeExactBehavior();

  final Fd fd;
  final int sqEntries;
  final int cqEntries;
  final long sqTail;
  final long sqFlags;
  final long sqes;
  final long cqHead;
  final long cqTail;
  final long cqes;
  private final long ring;
  private final long ringSize;

  private IoUringRings(Fd fd, MemorySegment params) throws LinuxException {
    this.fd = fd;
    sqEntries = params.get(ValueLayout.JAVA_INT, SQ_ENTRIES);
    cqEntries = params.get(ValueLayout.JAVA_INT, CQ_ENTRIES);
    // In io_sqring_offsets: head, tail, ring_mask, ring_entries, flags, dropped, array.
    long array = offset(params, SQ_OFF + 24);
    // In io_cqring_offsets: head, tail, ring_mask, ring_entries, overflow, cqes.
    long completions = offset(params, CQ_OFF + 20);
    ringSize = Math.max(array + 4L * sqEntries, completions + (long) CQE_SIZE * cqEntries);
    ring = map(ringSize, OFF_SQ_RING);
    try {
      sqes = map((long) SQE_SIZE * sqEntries, OFF_SQES);
    } catch (LinuxException e) {
      Libc.retry(SystemCall.MUNMAP, ring, ringSize, 0);
      throw e;
    }
    sqTail = ring + offset(params, SQ_OFF + 4);
    sqFlags = ring + offset(params, SQ_OFF + 16);
    cqHead = ring + offset(params, CQ_OFF);
    cqTail = ring + offset(params, CQ_OFF + 4);
    cqes = ring + completions;
    // Entry i of the array is always submission queue entry i: nothing to write there later.
    for (int i = 0; i < sqEntries; i++) {
      RawMemory.putInt(ring + array + 4L * i, i);
    }
  }

  /**
   * Sets a ring up and checks that the kernel has the operations needed.
   *
   * @param entries of the submission queue; rounded up to a power of two and clamped by the kernel
   * @param completions of the completion queue, likewise
   * @throws LinuxException when the kernel does not have it or does not permit it
   */
  static IoUringRings open(int entries, int completions, int... opcodes) throws LinuxException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment params = arena.allocate(PARAMS_SIZE, 8);
      Fd fd = setUp(entries, completions, params);
      boolean done = false;
      try {
        checkFeatures(params);
        checkOpcodes(fd, opcodes);
        IoUringRings rings = new IoUringRings(fd, params);
        done = true;
        return rings;
      } finally {
        if (!done) {
          fd.close();
        }
      }
    }
  }

  private static Fd setUp(int entries, int completions, MemorySegment params)
      throws LinuxException {
    long result = 0;
    for (int flags : FLAG_SETS) {
      params.fill((byte) 0);
      params.set(ValueLayout.JAVA_INT, FLAGS, flags | SETUP_CQSIZE | SETUP_CLAMP);
      params.set(ValueLayout.JAVA_INT, CQ_ENTRIES, completions);
      result = Libc.call(SystemCall.IO_URING_SETUP, entries, params.address(), 0);
      if (result != -Errno.EINVAL) {
        break;
      }
    }
    return new Fd((int) LinuxException.check("io_uring_setup", result));
  }

  private static void checkFeatures(MemorySegment params) throws LinuxException {
    int needed = FEAT_SINGLE_MMAP | FEAT_NODROP | FEAT_SUBMIT_STABLE;
    if ((params.get(ValueLayout.JAVA_INT, FEATURES) & needed) != needed) {
      throw new LinuxException("io_uring_setup", "", Errno.ENOSYS, "the kernel is too old");
    }
  }

  private static void checkOpcodes(Fd fd, int[] opcodes) throws LinuxException {
    try (Arena arena = Arena.ofConfined()) {
      // struct io_uring_probe: the count in byte 1, then from byte 16 on 8 bytes an opcode, of
      // which 16 bits at 2 are flags and their lowest says that it is supported.
      MemorySegment probe = arena.allocate(16 + 8 * PROBE_OPS, 8);
      long result =
          Libc.retry(
              SystemCall.IO_URING_REGISTER,
              fd.value(),
              REGISTER_PROBE,
              probe.address(),
              PROBE_OPS,
              0,
              0);
      LinuxException.check("io_uring_register(PROBE)", result);
      for (int opcode : opcodes) {
        if ((probe.get(ValueLayout.JAVA_SHORT, 16 + 8L * opcode + 2) & 1) == 0) {
          String detail = "the kernel lacks operation " + opcode;
          throw new LinuxException("io_uring_setup", "", Errno.ENOSYS, detail);
        }
      }
    }
  }

  private static long offset(MemorySegment params, long field) {
    return Integer.toUnsignedLong(params.get(ValueLayout.JAVA_INT, field));
  }

  private long map(long size, long offset) throws LinuxException {
    long address =
        Libc.retry(
            SystemCall.MMAP, 0, size, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd.value(), offset);
    return LinuxException.check("mmap", address);
  }

  /** Acquire load of a shared index or of the flags. */
  static int getIntAcquire(long address) {
    return (int) INT.getAcquire(ALL, address);
  }

  /** Release store of a shared index. */
  static void putIntRelease(long address, int value) {
    INT.setRelease(ALL, address, value);
  }

  /** Unmaps the rings and closes the descriptor; once only. */
  @Override
  public void close() {
    Libc.retry(SystemCall.MUNMAP, sqes, (long) SQE_SIZE * sqEntries, 0);
    Libc.retry(SystemCall.MUNMAP, ring, ringSize, 0);
    fd.close();
  }
}
