// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;

/**
 * A native array of {@code struct iovec} for vectored input and output.
 *
 * <p>Not thread-safe. The memory lives as long as this object is reachable; keep it so until the
 * call, or the submission to {@link IoUring}, is over.
 */
public final class Iovecs {
  /** The most elements that one call takes (UIO_MAXIOV). */
  public static final int MAX_PER_CALL = 1024;

  /** Bytes of one element: an address and a length of 64 bits each. */
  public static final int ELEMENT_SIZE = 16;

  private final MemorySegment memory;
  private final long base;
  private final int capacity;

  /**
   * An array of empty elements.
   *
   * @param capacity elements, 1 or more
   */
  public Iovecs(int capacity) {
    this.capacity = capacity;
    this.memory = Arena.ofAuto().allocate((long) capacity * ELEMENT_SIZE, ELEMENT_SIZE);
    this.base = memory.address();
  }

  /**
   * Sets one element.
   *
   * @param index 0 to capacity - 1
   * @param address of the memory to read into or write from
   * @param length bytes, 0 or more
   * @throws IndexOutOfBoundsException for an index out of range
   */
  public void set(int index, long address, long length) {
    long element = address(index);
    RawMemory.putLong(element, address);
    RawMemory.putLong(element + 8, length);
  }

  /** The length of one element in bytes. */
  public long length(int index) {
    return RawMemory.getLong(address(index) + 8);
  }

  /**
   * The native address of one element, for {@link RawFile#preadv} and {@link IoUring#prepReadv}.
   */
  public long address(int index) {
    return base + (long) Objects.checkIndex(index, capacity) * ELEMENT_SIZE;
  }

  /** How many elements there are. */
  public int capacity() {
    return (int) (memory.byteSize() / ELEMENT_SIZE);
  }
}
