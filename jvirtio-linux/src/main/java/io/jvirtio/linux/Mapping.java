// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.MemorySegment;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Part of a file, mapped shared into this process.
 *
 * <p>What lies past the end of the file is never mapped. A file that is made shorter afterwards
 * faults all the same: Java code then gets an {@link InternalError}, system calls EFAULT. Only a
 * memfd {@linkplain #isSealedAgainstShrinking sealed} against that is safe.
 *
 * <p>Immutable and thread-safe, but whoever closes it makes sure first that nobody uses its
 * addresses any more: an access to what is no longer mapped ends the process.
 */
public final class Mapping implements AutoCloseable {
  private static final int PROT_READ = 1;
  private static final int PROT_WRITE = 2;
  private static final int MAP_SHARED = 1;
  private static final int MAP_PRIVATE = 2;
  private static final int MAP_NORESERVE = 0x4000;
  private static final int MADV_DONTDUMP = 16;
  private static final long HUGETLBFS_MAGIC = 0x958458f6L;

  // An offset that is a multiple of it can be mapped whatever the size of the kernel's base page.
  private static final long LARGEST_BASE_PAGE = SystemCall.X86_64 ? 0x1000 : 0x10000;

  private final long base;
  private final long mappedLength;
  private final long address;
  private final long size;
  private final boolean sealed;
  private final AtomicBoolean closed = new AtomicBoolean();

  private Mapping(long base, long mappedLength, long address, long size, boolean sealed) {
    this.base = base;
    this.mappedLength = mappedLength;
    this.address = address;
    this.size = size;
    this.sealed = sealed;
  }

  /**
   * Maps a part of a regular file or memfd.
   *
   * @param fd open for what is asked; it may be closed afterwards
   * @param offset where the part begins, in bytes, any number from 0
   * @param size bytes, 1 or more
   * @throws IllegalArgumentException when offset or size are out of range or their sum overflows
   * @throws LinuxException when it is no regular file (ENODEV), ends before offset + size (EINVAL),
   *     is not open for writing (EACCES), or cannot be mapped
   */
  public static Mapping shared(Fd fd, long offset, long size, MapOption... options)
      throws LinuxException {
    if (offset < 0 || size <= 0 || offset > Long.MAX_VALUE - size) {
      throw new IllegalArgumentException("mapping of " + size + " bytes at " + offset);
    }
    FileStatus status = FileStatus.of(fd);
    if (status.type() != FileType.REGULAR) {
      throw new LinuxException(
          "mmap", fd.toString(), Errno.ENODEV, "neither a regular file nor a memfd");
    }
    if (offset + size > status.size()) {
      String detail =
          size + " bytes at " + offset + " reach past the end of the file at " + status.size();
      throw new LinuxException("mmap", fd.toString(), Errno.EINVAL, detail);
    }
    Set<MapOption> set = EnumSet.noneOf(MapOption.class);
    for (MapOption option : options) {
      set.add(option);
    }
    return map(fd, offset, size, set, granularity(fd, status));
  }

  private static Mapping map(Fd fd, long offset, long size, Set<MapOption> options, long page)
      throws LinuxException {
    long start = offset & -page;
    long lead = offset - start;
    // The kernel rounds the length up to base pages by itself; a huge page it wants whole.
    long length = lead + size;
    if (page > LARGEST_BASE_PAGE) {
      length = Math.addExact(length, page - 1) & -page;
    }
    int protection = options.contains(MapOption.READ_ONLY) ? PROT_READ : PROT_READ | PROT_WRITE;
    int visible = options.contains(MapOption.PRIVATE) ? MAP_PRIVATE : MAP_SHARED;
    long flags = visible | MAP_NORESERVE;
    long base =
        LinuxException.check(
            "mmap", Libc.retry(SystemCall.MMAP, 0, length, protection, flags, fd.value(), start));
    boolean done = false;
    try {
      if (options.contains(MapOption.DONT_DUMP)) {
        LinuxException.check(
            "madvise", Libc.retry(SystemCall.MADVISE, base, length, MADV_DONTDUMP));
      }
      boolean sealed = Memfd.seals(fd).contains(Seal.SHRINK);
      done = true;
      return new Mapping(base, length, base + lead, size, sealed);
    } finally {
      if (!done) {
        Libc.retry(SystemCall.MUNMAP, base, length, 0);
      }
    }
  }

  // hugetlbfs wants offsets and lengths in multiples of its own pages, which stat tells.
  private static long granularity(Fd fd, FileStatus status) throws LinuxException {
    MemorySegment statfs = Libc.scratch();
    long result = Libc.retry(SystemCall.FSTATFS, fd.value(), statfs.address(), 0);
    LinuxException.check("fstatfs", result);
    boolean huge = RawMemory.getLong(statfs.address()) == HUGETLBFS_MAGIC;
    return huge ? status.blockSize() : LARGEST_BASE_PAGE;
  }

  /** The address of the first byte that was asked for, not necessarily at a page's start. */
  public long address() {
    return address;
  }

  /** Bytes that were asked for. */
  public long size() {
    return size;
  }

  /**
   * Whether the file can never get shorter (F_SEAL_SHRINK), so that no access can fault. Seals
   * cannot be taken back.
   */
  public boolean isSealedAgainstShrinking() {
    return sealed;
  }

  /** The mapping as a segment in the global scope, which does not notice that this was closed. */
  public MemorySegment segment() {
    return RawMemory.segment(address, size);
  }

  /** Unmaps the memory. Idempotent. */
  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      long result = Libc.retry(SystemCall.MUNMAP, base, mappedLength, 0);
      if (result < 0) {
        throw new IllegalStateException("munmap: " + Errno.text((int) -result));
      }
    }
  }

  @Override
  public String toString() {
    return String.format("mapping of 0x%x bytes at 0x%x", size, address);
  }
}
