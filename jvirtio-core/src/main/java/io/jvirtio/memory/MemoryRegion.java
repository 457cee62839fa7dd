// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.memory;

/**
 * A contiguous piece of guest memory and where it is mapped.
 *
 * @param guestAddress guest-physical address of the first byte, unsigned
 * @param size bytes, positive
 * @param hostAddress absolute address of the first byte in this process
 */
public record MemoryRegion(long guestAddress, long size, long hostAddress) {
  /** Checks what a region can get wrong by itself. */
  public MemoryRegion {
    if (size <= 0) {
      throw new IllegalArgumentException("region size " + size + " is not positive");
    }
    // The last byte must exist: guestAddress + size may be 2^64 but not wrap past it.
    if (Long.compareUnsigned(guestAddress + (size - 1), guestAddress) < 0) {
      throw new IllegalArgumentException(
          String.format("region at 0x%x of 0x%x bytes wraps", guestAddress, size));
    }
    if (hostAddress <= 0 || hostAddress + (size - 1) < 0) {
      throw new IllegalArgumentException(String.format("host address 0x%x", hostAddress));
    }
  }
}
