// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import java.lang.foreign.MemorySegment;

/**
 * A shared memory region of a device: memory of the device that drivers see as well (virtio 1.4,
 * Shared Memory Regions).
 *
 * @param id what the device type calls it, 0 to 255
 * @param memory the region: native, at least a byte, to be reached from any thread for as long as
 *     the device is plugged in
 */
public record SharedMemory(int id, MemorySegment memory) {
  /** Checks what can be checked here. */
  public SharedMemory {
    if (id < 0 || id > 255 || memory.byteSize() == 0) {
      throw new IllegalArgumentException(
          "shared memory " + id + " of " + memory.byteSize() + " bytes");
    }
  }
}
