// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A buffer of zeroes to be written where the file system cannot make them. Nobody changes it. */
final class Zeroes {
  /** Bytes. */
  static final int SIZE = 1 << 20;

  private static final int ALIGNMENT = 4096;

  // Made when first needed; the pages of a fresh allocation are the kernel's zero pages.
  private static final MemorySegment BUFFER = Arena.global().allocate(SIZE, ALIGNMENT);

  private Zeroes() {}

  /** Where it is, aligned for direct output. */
  static long address() {
    return BUFFER.address();
  }
}
