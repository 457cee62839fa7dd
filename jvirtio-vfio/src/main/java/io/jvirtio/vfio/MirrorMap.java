// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * Local memory in the place of regions of the client that are not mapped. Immutable; empty when
 * there are none.
 */
record MirrorMap(List<Part> parts) {
  static final MirrorMap NONE = new MirrorMap(List.of());

  /** A region and the memory in its place, of the same size. */
  record Part(long address, MemorySegment memory) {}

  boolean isEmpty() {
    return parts.isEmpty();
  }

  /** From an address to the end of its region, or so many bytes. */
  MemorySegment at(long address, long most) throws PeerFault {
    for (Part part : parts) {
      long offset = address - part.address();
      long size = part.memory().byteSize();
      if (Long.compareUnsigned(offset, size) < 0) {
        return part.memory().asSlice(offset, Math.min(most, size - offset));
      }
    }
    throw new PeerFault(FaultReason.ADDRESS_OUTSIDE_MEMORY, address);
  }
}
