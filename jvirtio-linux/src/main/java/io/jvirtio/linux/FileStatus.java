// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/**
 * What {@code statx} says of a file.
 *
 * @param type what it is
 * @param size bytes; 0 for devices, whose size {@link BlockDevice} knows
 * @param blockSize preferred unit of input and output in bytes; on hugetlbfs the size of a page
 * @param allocated bytes that the file really takes
 * @param device the number of the file system, major in the upper 32 bits
 * @param inode number within the file system
 * @param directMemoryAlignment what {@link OpenFlag#DIRECT} asks of addresses, in bytes; 0 when the
 *     kernel does not tell
 * @param directOffsetAlignment the same of offsets and lengths
 */
public record FileStatus(
    FileType type,
    long size,
    int blockSize,
    long allocated,
    long device,
    long inode,
    int directMemoryAlignment,
    int directOffsetAlignment) {
  private static final int AT_FDCWD = -100;
  private static final int AT_SYMLINK_NOFOLLOW = 0x100;
  private static final int AT_EMPTY_PATH = 0x1000;
  private static final int STATX_BASIC_STATS = 0x7ff;
  private static final int STATX_DIOALIGN = 0x2000;

  // struct statx (include/uapi/linux/stat.h), the same on all architectures.
  private static final int STATX_SIZE = 256;
  private static final int BLKSIZE = 4;
  private static final int MODE = 28;
  private static final int INO = 32;
  private static final int SIZE = 40;
  private static final int BLOCKS = 48;
  private static final int DEV_MAJOR = 136;
  private static final int DEV_MINOR = 140;
  private static final int DIO_MEM_ALIGN = 152;
  private static final int DIO_OFFSET_ALIGN = 156;
  private static final int BLOCK_UNIT = 512;

  /**
   * The status of an open file. Any thread.
   *
   * @throws LinuxException when the descriptor is closed
   */
  public static FileStatus of(Fd fd) throws LinuxException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment empty = arena.allocateFrom("");
      long result = statx(fd.value(), empty, AT_EMPTY_PATH);
      LinuxException.check("statx", result);
      return read();
    }
  }

  /**
   * The status of the file at a path, of a symbolic link itself. Any thread.
   *
   * @throws LinuxException when there is none (ENOENT) or it cannot be reached
   */
  public static FileStatus of(Path path) throws LinuxException {
    try (Arena arena = Arena.ofConfined()) {
      long result = statx(AT_FDCWD, arena.allocateFrom(path.toString()), AT_SYMLINK_NOFOLLOW);
      if (result < 0) {
        throw new LinuxException("statx", path.toString(), (int) -result, "");
      }
      return read();
    }
  }

  private static long statx(int fd, MemorySegment path, int flags) {
    MemorySegment status = Libc.scratch().asSlice(0, STATX_SIZE).fill((byte) 0);
    long mask = STATX_BASIC_STATS | STATX_DIOALIGN;
    return Libc.retry(SystemCall.STATX, fd, path.address(), flags, mask, status.address(), 0);
  }

  private static FileStatus read() {
    long status = Libc.scratch().address();
    return new FileStatus(
        FileType.of(RawMemory.getShort(status + MODE)),
        RawMemory.getLong(status + SIZE),
        RawMemory.getInt(status + BLKSIZE),
        RawMemory.getLong(status + BLOCKS) * BLOCK_UNIT,
        (long) RawMemory.getInt(status + DEV_MAJOR) << 32
            | RawMemory.getInt(status + DEV_MINOR) & 0xffff_ffffL,
        RawMemory.getLong(status + INO),
        RawMemory.getInt(status + DIO_MEM_ALIGN),
        RawMemory.getInt(status + DIO_OFFSET_ALIGN));
  }
}
