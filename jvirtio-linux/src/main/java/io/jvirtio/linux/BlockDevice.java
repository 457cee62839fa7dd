// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;

/**
 * What can be asked of a block device. Every method throws ENOTTY, or answers it, for any other
 * file. Any thread.
 */
public final class BlockDevice {
  // include/uapi/linux/fs.h, the same on x86-64 and aarch64.
  private static final int BLKROGET = 0x125e;
  private static final int BLKSSZGET = 0x1268;
  private static final int BLKDISCARD = 0x1277;
  private static final int BLKIOMIN = 0x1278;
  private static final int BLKIOOPT = 0x1279;
  private static final int BLKPBSZGET = 0x127b;
  private static final int BLKSECDISCARD = 0x127d;
  private static final int BLKZEROOUT = 0x127f;
  private static final int BLKGETSIZE64 = 0x80081272;

  private BlockDevice() {}

  /** Bytes of the device. */
  public static long size(Fd fd) throws LinuxException {
    return query("ioctl(BLKGETSIZE64)", fd, BLKGETSIZE64);
  }

  /** The smallest unit that can be addressed, in bytes. */
  public static int logicalBlockSize(Fd fd) throws LinuxException {
    return (int) query("ioctl(BLKSSZGET)", fd, BLKSSZGET);
  }

  /** The smallest unit that is written without reading first, in bytes. */
  public static int physicalBlockSize(Fd fd) throws LinuxException {
    return (int) query("ioctl(BLKPBSZGET)", fd, BLKPBSZGET);
  }

  /** The smallest transfer that is reasonable, in bytes. */
  public static int minimumTransfer(Fd fd) throws LinuxException {
    return (int) query("ioctl(BLKIOMIN)", fd, BLKIOMIN);
  }

  /** The transfer that is best, in bytes; 0 when unknown. */
  public static int optimalTransfer(Fd fd) throws LinuxException {
    return (int) query("ioctl(BLKIOOPT)", fd, BLKIOOPT);
  }

  /** Whether the device refuses writes. */
  public static boolean isReadOnly(Fd fd) throws LinuxException {
    return query("ioctl(BLKROGET)", fd, BLKROGET) != 0;
  }

  /**
   * Tells the device that a part is no longer needed. What it reads as then is undefined.
   *
   * @param offset in bytes, a multiple of the logical block size
   * @param length in bytes, likewise
   * @return 0, or a negated error number; EOPNOTSUPP when the device cannot
   */
  public static int discard(Fd fd, long offset, long length) {
    return range(fd, BLKDISCARD, offset, length);
  }

  /** Erases a part, copies of it included; arguments and result as with {@link #discard}. */
  public static int secureErase(Fd fd, long offset, long length) {
    return range(fd, BLKSECDISCARD, offset, length);
  }

  /** Makes a part read as zeroes; arguments and result as with {@link #discard}. */
  public static int zeroOut(Fd fd, long offset, long length) {
    return range(fd, BLKZEROOUT, offset, length);
  }

  private static long query(String call, Fd fd, long request) throws LinuxException {
    long value = Libc.scratch().address();
    RawMemory.putLong(value, 0); // Most answers have 32 bits.
    LinuxException.check(call, Libc.retry(SystemCall.IOCTL, fd.value(), request, value));
    return RawMemory.getLong(value);
  }

  private static int range(Fd fd, long request, long offset, long length) {
    long range = Libc.scratch().address();
    RawMemory.putLong(range, offset);
    RawMemory.putLong(range + 8, length);
    return (int) Libc.retry(SystemCall.IOCTL, fd.value(), request, range);
  }
}
