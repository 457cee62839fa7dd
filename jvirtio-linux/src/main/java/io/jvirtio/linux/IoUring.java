// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.Optional;

/**
 * An io_uring: many reads and writes in one system call.
 *
 * <p>Prepare operations, {@link #submit} them together, {@link #reap} what has completed. The
 * memory that an operation reads or writes stays mapped until its completion; an array of iovecs
 * only until its submission. Results are counts or negated error numbers.
 *
 * <p>At most so many operations are under way as the completion queue holds, so none is ever lost;
 * {@link #free} says how many more may be prepared.
 *
 * <p>Barrier pairs with the kernel: the release store of the submission queue's tail makes the
 * entries visible to its acquire load in io_uring_enter; the acquire load of the completion queue's
 * tail sees the entries that its release store published; the release store of the completion
 * queue's head gives their slots back.
 *
 * <p>Not thread-safe: opened, used and closed by one thread, as the kernel itself demands where it
 * knows IORING_SETUP_SINGLE_ISSUER. For an {@link EventLoop}: {@link EventLoop#watch watch} the
 * {@link #fd}, let {@code poll()} submit and reap, and let {@code arm()} answer false while there
 * are {@linkplain #unsubmitted unsubmitted} operations or {@linkplain #hasCompletions completions}.
 */
public final class IoUring implements AutoCloseable {
  /** Receives completions on the thread that calls {@link #reap}. */
  @FunctionalInterface
  public interface CompletionHandler {
    /**
     * One operation is complete. It may prepare and submit others.
     *
     * @param userData what the operation was prepared with
     * @param result a count, or a negated error number
     */
    void complete(long userData, int result);
  }

  private static final Logger LOG = System.getLogger(IoUring.class.getName());

  // Opcodes: enum io_uring_op.
  private static final int NOP = 0;
  private static final int READV = 1;
  private static final int WRITEV = 2;
  private static final int FSYNC = 3;
  private static final int FALLOCATE = 17;
  private static final int READ = 22;
  private static final int WRITE = 23;

  private static final int IOSQE_FIXED_FILE = 1 << 8; // in the second byte of an entry
  private static final int FSYNC_DATASYNC = 1;
  private static final int ENTER_GETEVENTS = 1;
  private static final int REGISTER_FILES = 2;

  // In the flags of the submission ring: completions wait in a list of the kernel, or work of the
  // kernel waits for this
  // thread to come by.
  private static final int SQ_CQ_OVERFLOW = 1 << 1;
  private static final int SQ_TASKRUN = 1 << 2;
  private static final int SQ_NEEDS_KERNEL = SQ_CQ_OVERFLOW | SQ_TASKRUN;

  private static final int COMPLETIONS_PER_ENTRY = 4;
  private static final Duration CLOSE_DEADLINE = Duration.ofSeconds(10);

  private final IoUringRings rings;
  private final long sqes;
  private final int sqMask;
  private final long cqes;
  private final int cqMask;
  private final int fd;

  // Own copies of the indices; free running, compared by difference.
  private int sqTail;
  private int sqSubmitted;
  private int cqHead;
  private int inFlight;
  private boolean closed;

  private IoUring(IoUringRings rings) {
    this.rings = rings;
    this.sqes = rings.sqes;
    this.sqMask = rings.sqEntries - 1;
    this.cqes = rings.cqes;
    this.cqMask = rings.cqEntries - 1;
    this.fd = rings.fd.value();
  }

  /**
   * Opens a ring for the current thread.
   *
   * @param entries how many operations are submitted at once, 1 to 32768; rounded up to a power of
   *     two. Four times as many can be under way
   * @return empty where the kernel does not have it, forbids it, or is older than 5.6: use preadv
   *     and pwritev then
   */
  public static Optional<IoUring> open(int entries) {
    if (entries < 1) {
      throw new IllegalArgumentException(entries + " entries");
    }
    try {
      int completions = COMPLETIONS_PER_ENTRY * Math.min(entries, 1 << 15);
      return Optional.of(
          new IoUring(
              IoUringRings.open(
                  entries, completions, NOP, READV, WRITEV, FSYNC, FALLOCATE, READ, WRITE)));
    } catch (LinuxException e) {
      LOG.log(Level.DEBUG, "no io_uring: {0}", e.getMessage());
      return Optional.empty();
    }
  }

  /** Whether {@link #open} works on this machine, found by trying. Any thread. */
  public static boolean isAvailable() {
    Optional<IoUring> ring = open(1);
    ring.ifPresent(IoUring::close);
    return ring.isPresent();
  }

  /**
   * Registers open files, which saves the kernel a look-up for each operation. Once only; name them
   * by {@link #registered} afterwards.
   *
   * @throws LinuxException when the kernel refuses, as a second time (EBUSY)
   */
  public void registerFiles(int... fds) throws LinuxException {
    try (Arena arena = Arena.ofConfined()) {
      long array = arena.allocateFrom(ValueLayout.JAVA_INT, fds).address();
      long result =
          Libc.retry(SystemCall.IO_URING_REGISTER, fd, REGISTER_FILES, array, fds.length, 0, 0);
      LinuxException.check("io_uring_register(FILES)", result);
    }
  }

  /**
   * What to give as {@code file} for a registered file.
   *
   * @param index in the order of {@link #registerFiles}
   */
  public static int registered(int index) {
    return ~index;
  }

  /** How many more operations can be prepared before the next {@link #submit} or {@link #reap}. */
  public int free() {
    int prepared = sqTail - sqSubmitted;
    return Math.min(sqMask + 1 - prepared, cqMask + 1 - inFlight - prepared);
  }

  /** Operations that are prepared and not yet submitted. */
  public int unsubmitted() {
    return sqTail - sqSubmitted;
  }

  /** Operations that are submitted and not yet reaped. */
  public int inFlight() {
    return inFlight;
  }

  /** An operation that does nothing. */
  public void prepNop(long userData) {
    prepare(NOP, -1, 0, 0, 0, 0, userData);
  }

  /**
   * A read into one piece of memory.
   *
   * @param file a descriptor, or a {@linkplain #registered registered} file
   * @param address where to
   * @param length bytes, 0 or more
   * @param offset in the file, in bytes
   * @param rwFlags RWF_ flags, 0 for none
   * @throws IllegalStateException when nothing is {@link #free}
   */
  public void prepRead(
      int file, long address, int length, long offset, long userData, int rwFlags) {
    prepare(READ, file, offset, address, length, rwFlags, userData);
  }

  /** A write from one piece of memory; arguments as with {@link #prepRead}. */
  public void prepWrite(
      int file, long address, int length, long offset, long userData, int rwFlags) {
    prepare(WRITE, file, offset, address, length, rwFlags, userData);
  }

  /**
   * A read into several pieces of memory.
   *
   * @param file a descriptor, or a {@linkplain #registered registered} file
   * @param iovecs the address of an array of {@code struct iovec}, see {@link Iovecs}
   * @param count its elements, at most {@link Iovecs#MAX_PER_CALL}
   * @param offset in the file, in bytes
   * @param rwFlags RWF_ flags, 0 for none
   * @throws IllegalStateException when nothing is {@link #free}
   */
  public void prepReadv(int file, long iovecs, int count, long offset, long userData, int rwFlags) {
    prepare(READV, file, offset, iovecs, count, rwFlags, userData);
  }

  /** A write from several pieces of memory; arguments as with {@link #prepReadv}. */
  public void prepWritev(
      int file, long iovecs, int count, long offset, long userData, int rwFlags) {
    prepare(WRITEV, file, offset, iovecs, count, rwFlags, userData);
  }

  /**
   * Brings data to the medium. It is not ordered with operations under way: what it is to cover
   * must have completed.
   *
   * @param dataSync data, and only what is needed to read it again (fdatasync)
   * @throws IllegalStateException when nothing is {@link #free}
   */
  public void prepFsync(int file, boolean dataSync, long userData) {
    prepare(FSYNC, file, 0, 0, 0, dataSync ? FSYNC_DATASYNC : 0, userData);
  }

  /**
   * Changes the allocation of a part of a file.
   *
   * @param mode FALLOC_FL_ flags, see {@link RawFile}
   * @param offset in bytes
   * @param length in bytes, 1 or more
   * @throws IllegalStateException when nothing is {@link #free}
   */
  public void prepFallocate(int file, int mode, long offset, long length, long userData) {
    // This operation has its length where others have their address.
    prepare(FALLOCATE, file, offset, length, mode, 0, userData);
  }

  private void prepare(
      int opcode, int file, long offset, long address, int length, int flags, long userData) {
    checkOpen();
    if (free() <= 0) {
      throw new IllegalStateException("no room for another operation");
    }
    // struct io_uring_sqe as eight words: opcode, flags, priority and descriptor; offset; address;
    // length and flags of the operation; user data; buffer, personality and others.
    boolean fixed = file < 0 && opcode != NOP;
    long head = opcode | (fixed ? IOSQE_FIXED_FILE : 0) | (long) (fixed ? ~file : file) << 32;
    long sqe = sqes + (long) (sqTail & sqMask) * IoUringRings.SQE_SIZE;
    RawMemory.putLong(sqe, head);
    RawMemory.putLong(sqe + 8, offset);
    RawMemory.putLong(sqe + 16, address);
    RawMemory.putLong(sqe + 24, Integer.toUnsignedLong(length) | (long) flags << 32);
    RawMemory.putLong(sqe + 32, userData);
    RawMemory.putLong(sqe + 40, 0);
    RawMemory.putLong(sqe + 48, 0);
    RawMemory.putLong(sqe + 56, 0);
    sqTail++;
  }

  /**
   * Submits all prepared operations, as a rule in one system call; none when there is nothing to
   * submit.
   *
   * @return how many the kernel took. What it could not take for want of memory stays {@link
   *     #unsubmitted}
   * @throws IllegalStateException on another thread than the one that opened the ring
   */
  public int submit() {
    return enter(0);
  }

  /**
   * Submits all prepared operations and waits.
   *
   * @param completions how many must be there to be reaped, 0 or more; never more than will come
   * @return how many the kernel took
   * @throws IllegalStateException on another thread than the one that opened the ring
   */
  public int submitAndWait(int completions) {
    return enter(completions);
  }

  private int enter(int completions) {
    checkOpen();
    int before = sqSubmitted;
    IoUringRings.putIntRelease(rings.sqTail, sqTail);
    while (sqSubmitted != sqTail || waits(completions)) {
      int flags = waits(completions) || needsKernel() ? ENTER_GETEVENTS : 0;
      long result =
          Libc.call(SystemCall.IO_URING_ENTER, fd, sqTail - sqSubmitted, completions, flags, 0, 0);
      if (result == -Errno.EAGAIN || result == -Errno.EBUSY) {
        break;
      }
      if (result == 0 && !waits(completions)) {
        break;
      }
      if (result >= 0) {
        sqSubmitted += (int) result;
        inFlight += (int) result;
      } else if (result != -Errno.EINTR) {
        throw failure((int) -result);
      }
    }
    return sqSubmitted - before;
  }

  private boolean waits(int completions) {
    return IoUringRings.getIntAcquire(rings.cqTail) - cqHead < completions;
  }

  private static IllegalStateException failure(int errno) {
    String why =
        errno == Errno.EEXIST ? "used by a thread that did not open it" : Errno.text(errno);
    return new IllegalStateException("io_uring_enter: " + why);
  }

  // The kernel may leave SQ_TASKRUN behind when the work is done, hence the first condition.
  private boolean needsKernel() {
    return inFlight > 0 && (IoUringRings.getIntAcquire(rings.sqFlags) & SQ_NEEDS_KERNEL) != 0;
  }

  /**
   * Whether completions are there to be reaped. No system call.
   *
   * <p>To be asked before sleeping. Work that the kernel leaves for this thread to run counts only
   * once it has run; any system call does that, also the one that would put the thread to sleep,
   * which then ends at once.
   */
  public boolean hasCompletions() {
    checkOpen();
    return IoUringRings.getIntAcquire(rings.cqTail) != cqHead
        || (IoUringRings.getIntAcquire(rings.sqFlags) & SQ_CQ_OVERFLOW) != 0;
  }

  /**
   * Hands over the completions that are there, without waiting. A system call only where the kernel
   * has asked for it.
   *
   * @return how many there were
   */
  public int reap(CompletionHandler handler) {
    checkOpen();
    int tail = IoUringRings.getIntAcquire(rings.cqTail);
    if (tail == cqHead) {
      if (!needsKernel()) {
        return 0;
      }
      long result = Libc.retry(SystemCall.IO_URING_ENTER, fd, 0, 0, ENTER_GETEVENTS, 0, 0);
      if (result < 0 && result != -Errno.EAGAIN && result != -Errno.EBUSY) {
        throw failure((int) -result);
      }
      tail = IoUringRings.getIntAcquire(rings.cqTail);
    }
    int count = 0;
    while (tail - cqHead > 0) {
      long cqe = cqes + (long) (cqHead & cqMask) * IoUringRings.CQE_SIZE;
      long userData = RawMemory.getLong(cqe);
      int result = RawMemory.getInt(cqe + 8);
      cqHead++;
      inFlight--;
      count++;
      // Before the handler, which may submit, may need the slot, and may throw.
      IoUringRings.putIntRelease(rings.cqHead, cqHead);
      handler.complete(userData, result);
    }
    return count;
  }

  /**
   * Waits until {@link #reap} finds something.
   *
   * @return false when the time is over
   * @throws LinuxException when closed
   */
  public boolean awaitCompletions(Duration timeout) throws LinuxException {
    long deadline = Sockets.deadline(timeout);
    while (!hasCompletions()) {
      if (Poll.await(fd, Poll.IN, null, deadline) == Poll.Outcome.TIMED_OUT) {
        return hasCompletions();
      }
    }
    return true;
  }

  /** The descriptor, readable while there are completions; it stays this object's. */
  public int fd() {
    return fd;
  }

  /**
   * Waits for all operations under way, whose completions go nowhere, and closes the ring.
   * Idempotent.
   *
   * @throws IllegalStateException when some have not completed in 10 s; the ring is closed, but the
   *     kernel may still write to their memory
   */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    try {
      submit();
      long deadline = System.nanoTime() + CLOSE_DEADLINE.toNanos();
      while (inFlight > 0 && System.nanoTime() < deadline) {
        awaitCompletions(Duration.ofNanos(deadline - System.nanoTime()));
        reap((userData, result) -> {});
      }
      if (inFlight > 0) {
        throw new IllegalStateException(inFlight + " operations are still under way");
      }
    } catch (LinuxException e) {
      throw new IllegalStateException(e);
    } finally {
      closed = true;
      rings.close();
    }
  }

  // The rings are unmapped then: to touch them would end the process.
  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the ring is closed");
    }
  }
}
