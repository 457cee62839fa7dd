// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.DriverMemory;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/**
 * The shared memory of one driver's queue: its ring and, where indirect descriptors are negotiated,
 * a table for each buffer. Owner thread only.
 */
final class DriverArea {
  private final DriverMemory memory;
  private final MemorySegment ring;
  private final MemorySegment tables;

  /** Where the ring is in this process. */
  final long host;

  /** Where the tables are in this process; 0 without them. */
  final long tableHost;

  /** Where they are for the device. */
  final long tableDevice;

  /**
   * Allocates it.
   *
   * @param alignment of the ring in bytes, a power of two
   * @param tableBytes of all tables together, 0 for none
   * @throws IOException when there is no more shared memory
   */
  DriverArea(DriverMemory memory, long ringBytes, int alignment, long tableBytes)
      throws IOException {
    this.memory = memory;
    this.ring = memory.allocate(ringBytes, alignment);
    this.host = ring.address();
    MemorySegment tableMemory = null;
    if (tableBytes != 0) {
      try {
        tableMemory = memory.allocate(tableBytes, 64);
      } finally {
        if (tableMemory == null) {
          memory.release(ring);
        }
      }
    }
    this.tables = tableMemory;
    this.tableHost = tables == null ? 0 : tables.address();
    this.tableDevice = tables == null ? 0 : memory.deviceAddress(tables);
  }

  /** Where the ring is for the device. */
  long device() {
    return memory.deviceAddress(ring);
  }

  /** Sets the ring to zero. */
  void clear() {
    ring.fill((byte) 0);
  }

  void release() {
    memory.release(ring);
    if (tables != null) {
      memory.release(tables);
    }
  }
}
