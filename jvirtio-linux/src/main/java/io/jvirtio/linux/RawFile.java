// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.lang.foreign.Arena;
import java.nio.file.Path;

/**
 * An open file or block device, read and written by absolute addresses, straight into guest memory.
 *
 * <p>The methods that move data answer as the kernel does: a count, or a negated error number
 * ({@link Errno}), so that a failed request costs no exception and completions of {@link IoUring}
 * mean the same. They may move less than was asked for; none sees EINTR. The others throw.
 *
 * <p>Thread-safe, except that whoever closes it makes sure that nobody is inside a call.
 */
public final class RawFile implements AutoCloseable {
  /** Waits for the data of this write to be on the medium. */
  public static final int RWF_DSYNC = 2;

  /** Answers EAGAIN rather than wait for the medium. */
  public static final int RWF_NOWAIT = 8;

  /** The file keeps its size. */
  public static final int FALLOC_FL_KEEP_SIZE = 1;

  /** Gives space back; reads as zeroes. Only with {@link #FALLOC_FL_KEEP_SIZE}. */
  public static final int FALLOC_FL_PUNCH_HOLE = 2;

  /** Reads as zeroes, and the space stays. */
  public static final int FALLOC_FL_ZERO_RANGE = 16;

  private static final int AT_FDCWD = -100;
  private static final int MODE_0666 = 0x1b6;
  private static final int LOCK_SH = 1;
  private static final int LOCK_EX = 2;
  private static final int LOCK_NB = 4;
  private static final int LOCK_UN = 8;
  private static final int SEEK_DATA = 3;
  private static final int SEEK_HOLE = 4;

  private final Fd fd;
  private final Path path;

  private RawFile(Fd fd, Path path) {
    this.fd = fd;
    this.path = path;
  }

  /**
   * Opens a file.
   *
   * @param flags one of {@link OpenFlag#READ_ONLY} and {@link OpenFlag#READ_WRITE}, and others
   * @throws LinuxException when it is missing (ENOENT), not permitted (EACCES), a directory that is
   *     opened for writing (EISDIR), or on a file system without {@link OpenFlag#DIRECT} (EINVAL)
   */
  public static RawFile open(Path path, OpenFlag... flags) throws LinuxException {
    int bits = OpenFlag.O_CLOEXEC;
    for (OpenFlag flag : flags) {
      bits |= flag.bits();
    }
    try (Arena arena = Arena.ofConfined()) {
      long name = arena.allocateFrom(path.toString()).address();
      long result = Libc.retry(SystemCall.OPENAT, AT_FDCWD, name, bits, MODE_0666, 0, 0);
      if (result < 0) {
        throw new LinuxException("open", path.toString(), (int) -result, "");
      }
      return new RawFile(new Fd((int) result), path);
    }
  }

  /** The descriptor, which stays this object's. */
  public Fd fd() {
    return fd;
  }

  /** The path it was opened by. */
  public Path path() {
    return path;
  }

  /**
   * What the file is now.
   *
   * @throws LinuxException when closed
   */
  public FileStatus status() throws LinuxException {
    return FileStatus.of(fd);
  }

  /**
   * Bytes of the file, or of the block device.
   *
   * @throws LinuxException when closed
   */
  public long size() throws LinuxException {
    FileStatus status = FileStatus.of(fd);
    return status.type() == FileType.BLOCK_DEVICE ? BlockDevice.size(fd) : status.size();
  }

  /**
   * Sets the size in bytes.
   *
   * @throws LinuxException when there is no room (EFBIG, ENOSPC) or it is no regular file (EINVAL)
   */
  public void resize(long size) throws LinuxException {
    Memfd.resize(fd, size);
  }

  /**
   * Tries to lock the file against other processes that lock it (flock). The lock ends with {@link
   * #unlock} or when the last descriptor of this opening is closed.
   *
   * @param exclusive against all others; otherwise only against exclusive ones
   * @return false when somebody else has a lock that forbids it
   * @throws LinuxException when the file system knows no locks
   */
  public boolean tryLock(boolean exclusive) throws LinuxException {
    long operation = (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
    long result = Libc.retry(SystemCall.FLOCK, fd.value(), operation, 0);
    if (result == -Errno.EAGAIN) {
      return false;
    }
    LinuxException.check("flock", result);
    return true;
  }

  /**
   * Ends {@link #tryLock}.
   *
   * @throws LinuxException when closed
   */
  public void unlock() throws LinuxException {
    LinuxException.check("flock", Libc.retry(SystemCall.FLOCK, fd.value(), LOCK_UN, 0));
  }

  /**
   * Reads into one piece of memory.
   *
   * @param address where to, at least {@code length} bytes that the caller keeps mapped
   * @param length bytes, 0 or more
   * @param offset in the file, in bytes
   * @return bytes read, fewer at the end of the file and 0 behind it; or a negated error number,
   *     EFAULT for memory whose file was truncated
   */
  public long pread(long address, long length, long offset) {
    return Libc.retry(SystemCall.PREAD64, fd.value(), address, length, offset, 0, 0);
  }

  /**
   * Writes from one piece of memory; arguments and result as with {@link #pread}.
   *
   * @return bytes written, or a negated error number such as ENOSPC
   */
  public long pwrite(long address, long length, long offset) {
    return Libc.retry(SystemCall.PWRITE64, fd.value(), address, length, offset, 0, 0);
  }

  /**
   * Reads into several pieces of memory.
   *
   * @param iovecs the address of an array of {@code struct iovec}, see {@link Iovecs}
   * @param count its elements, at most {@link Iovecs#MAX_PER_CALL}
   * @param offset in the file, in bytes
   * @param flags RWF_ flags, 0 for none
   * @return bytes read, or a negated error number
   */
  public long preadv(long iovecs, int count, long offset, int flags) {
    // The kernel takes the offset in two halves of which 64-bit machines use only the lower.
    return Libc.retry(SystemCall.PREADV2, fd.value(), iovecs, count, offset, 0, flags);
  }

  /** Writes from several pieces of memory; arguments and result as with {@link #preadv}. */
  public long pwritev(long iovecs, int count, long offset, int flags) {
    return Libc.retry(SystemCall.PWRITEV2, fd.value(), iovecs, count, offset, 0, flags);
  }

  /**
   * Waits until all data written so far, and what is needed to read it again, is on the medium
   * (fdatasync).
   *
   * @return 0, or a negated error number; EIO concerns earlier writes, whose data is lost
   */
  public int dataSync() {
    return (int) Libc.retry(SystemCall.FDATASYNC, fd.value(), 0, 0);
  }

  /**
   * Changes the allocation of a part of the file.
   *
   * @param mode FALLOC_FL_ flags; 0 allocates
   * @param offset in bytes
   * @param length in bytes, 1 or more
   * @return 0, or a negated error number; EOPNOTSUPP when the file system cannot
   */
  public int fallocate(int mode, long offset, long length) {
    return (int) Libc.retry(SystemCall.FALLOCATE, fd.value(), mode, offset, length, 0, 0);
  }

  /** Gives the space of a part back, which reads as zeroes then; result as {@link #fallocate}. */
  public int punchHole(long offset, long length) {
    return fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  }

  /** Makes a part read as zeroes and keeps its space; result as {@link #fallocate}. */
  public int zeroRange(long offset, long length) {
    return fallocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
  }

  /**
   * Finds data. A file system that knows no holes takes everything for data.
   *
   * @param offset where to begin, in bytes
   * @return where the first data at or behind it begins; or a negated error number, ENXIO when
   *     nothing but a hole follows, or nothing at all
   */
  public long seekData(long offset) {
    return Libc.retry(SystemCall.LSEEK, fd.value(), offset, SEEK_DATA);
  }

  /**
   * Finds a hole, which reads as zeroes. The end of the file is one.
   *
   * @param offset where to begin, in bytes
   * @return where the first hole at or behind it begins; or a negated error number, ENXIO at or
   *     behind the end of the file
   */
  public long seekHole(long offset) {
    return Libc.retry(SystemCall.LSEEK, fd.value(), offset, SEEK_HOLE);
  }

  /** Closes the file, which ends its locks. Idempotent. */
  @Override
  public void close() {
    fd.close();
  }

  @Override
  public String toString() {
    return path + " (" + fd + ")";
  }
}
