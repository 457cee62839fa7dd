// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.queue.DescriptorChain;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Aligned memory between an image that is opened with O_DIRECT and guest memory that is not
 * aligned. One thread at a time.
 */
final class Bounce {
  /** Bytes: a larger request goes through in pieces. */
  static final int SIZE = 128 << 10;

  private static final int ALIGNMENT = 4096;

  private final MemorySegment memory;

  Bounce(Arena arena) {
    memory = arena.allocate(SIZE, ALIGNMENT);
  }

  long address() {
    return memory.address();
  }

  /** Copies bytes from the chain, starting {@code offset} bytes into a segment. */
  void gather(DescriptorChain chain, int segment, int offset, int bytes) {
    copy(chain, segment, offset, bytes, false);
  }

  /** Copies bytes to the chain, starting {@code offset} bytes into a segment. */
  void scatter(DescriptorChain chain, int segment, int offset, int bytes) {
    copy(chain, segment, offset, bytes, true);
  }

  private void copy(DescriptorChain chain, int segment, int offset, int bytes, boolean out) {
    int at = segment;
    int skip = offset;
    int done = 0;
    while (done < bytes) {
      MemorySegment guest = chain.segment(at);
      long step = Math.min(bytes - done, guest.byteSize() - skip);
      if (out) {
        MemorySegment.copy(memory, done, guest, skip, step);
      } else {
        MemorySegment.copy(guest, skip, memory, done, step);
      }
      done += (int) step;
      at++;
      skip = 0;
    }
  }
}
