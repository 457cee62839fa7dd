// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.GuestMemory;

/**
 * The region of guest memory that was needed last: most buffers lie in the same one, and are then
 * translated by one subtraction, two comparisons and one addition. It never faults: what it cannot
 * say is asked of {@link GuestMemory}. Owner thread only.
 */
final class NearRegion {
  private GuestMemory memory;
  private int region;
  private long start;

  /** At first less than nothing, so that no range fits. */
  private long size = -1;

  /** From an address in guest memory to the one in this process. */
  private long delta;

  NearRegion(GuestMemory memory) {
    this.memory = memory;
  }

  /** The region at hand stays: the larger memory holds it at the same place. */
  void growMemory(GuestMemory larger) {
    memory = larger;
  }

  /**
   * Whether a range lies in one region, which is then the one at hand.
   *
   * @param address guest-physical, unsigned
   * @param bytes positive
   */
  boolean reaches(long address, long bytes) {
    return holds(address, bytes) || moveTo(address, bytes);
  }

  /** Sizes are positive, so what is past 2^63 from the start is negative, and no sum can wrap. */
  private boolean holds(long address, long bytes) {
    long offset = address - start;
    return offset >= 0 && offset <= size - bytes;
  }

  private boolean moveTo(long address, long bytes) {
    int found = memory.find(address, region);
    if (found < 0) {
      return false;
    }
    region = found;
    start = memory.start(found);
    size = memory.remaining(found, start);
    delta = memory.hostAddress(found, start) - start;
    return holds(address, bytes);
  }

  /** Where an address of the region at hand is mapped in this process. */
  long hostAddress(long address) {
    return address + delta;
  }
}
