// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import java.lang.foreign.MemorySegment;

/** Cuts what a caller wants into requests that the device takes. Not thread-safe. */
final class Splitter {
  private final BlkOperation operation;
  private final MemorySegment data;
  private final boolean unmap;
  private final long start;
  private final long end;
  private final long most;
  private final long alignment;
  private long at;
  private boolean flushed;

  private Splitter(
      BlkOperation operation,
      MemorySegment data,
      boolean unmap,
      long offset,
      long length,
      long most,
      long alignment) {
    this.operation = operation;
    this.data = data;
    this.unmap = unmap;
    this.start = offset;
    this.end = offset + length;
    this.most = most;
    this.alignment = alignment;
    this.at = offset;
  }

  /** A read or write. */
  static Splitter ofData(
      BlkDriver driver, BlkOperation operation, long offset, MemorySegment data) {
    long most = Math.min(driver.limits().maxRequestBytes(), driver.options().maxRequestBytes());
    return new Splitter(
        operation,
        data,
        false,
        offset,
        data.byteSize(),
        wholeBlocks(driver, most),
        driver.blockSize());
  }

  /** A discard, write zeroes or secure erase. */
  static Splitter ofRange(
      BlkDriver driver, BlkOperation operation, long offset, long length, boolean unmap) {
    BlkLimits limits = driver.limits();
    return new Splitter(
        operation,
        null,
        unmap,
        offset,
        length,
        wholeBlocks(driver, limits.maxRangeBytes(operation)),
        limits.rangeAlignment(operation));
  }

  /** A single request without offset, length or data of the caller's. */
  static Splitter ofFlush() {
    return new Splitter(BlkOperation.FLUSH, null, false, 0, 0, 0, 0);
  }

  private static long wholeBlocks(BlkDriver driver, long bytes) {
    return bytes < driver.blockSize() ? bytes : bytes - bytes % driver.blockSize();
  }

  /**
   * Makes the next request.
   *
   * @return false when everything has been handed out
   */
  boolean next(BlkIo io) {
    if (operation == BlkOperation.FLUSH) {
      boolean first = !flushed;
      flushed = true;
      io.flush();
      return first;
    }
    long left = end - at;
    if (left <= 0) {
      return false;
    }
    long step = step(left);
    switch (operation) {
      case READ -> io.read(at).add(data.asSlice(at - start, step));
      case WRITE -> io.write(at).add(data.asSlice(at - start, step));
      case DISCARD -> io.discard().range(at, step);
      case WRITE_ZEROES -> io.writeZeroes(unmap).range(at, step);
      case SECURE_ERASE -> io.secureErase().range(at, step);
      case FLUSH, GET_ID, GET_LIFETIME -> throw new IllegalStateException(operation.name());
    }
    at += step;
    return true;
  }

  private long step(long left) {
    if (left <= most) {
      return left;
    }
    long aligned = alignment == 0 ? 0 : most - (at + most) % alignment;
    return aligned > 0 ? aligned : most;
  }
}
