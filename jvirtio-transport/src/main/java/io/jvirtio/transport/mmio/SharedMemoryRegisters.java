// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.device.SharedMemory;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Where the shared memory regions are that the driver is shown. Thread-safe. */
final class SharedMemoryRegisters {
  /** Length and address of a region that there is not. */
  private static final long NONE = -1;

  private final long[] lengths = new long[256];
  private final long[] addresses = new long[lengths.length];
  private volatile int select;

  SharedMemoryRegisters(List<SharedMemory> regions, Map<Integer, Long> places) {
    Arrays.fill(lengths, NONE);
    Arrays.fill(addresses, NONE);
    for (Map.Entry<Integer, Long> place : places.entrySet()) {
      SharedMemory region =
          regions.stream()
              .filter(r -> r.id() == place.getKey())
              .findFirst()
              .orElseThrow(
                  () -> new IllegalArgumentException("no shared memory " + place.getKey()));
      lengths[region.id()] = region.memory().byteSize();
      addresses[region.id()] = place.getValue();
    }
  }

  /** As after the reset of the device. */
  void reset() {
    select = 0;
  }

  void select(int id) {
    select = id;
  }

  private long of(long[] table) {
    int id = select;
    return id >= 0 && id < table.length ? table[id] : NONE;
  }

  long length() {
    return of(lengths);
  }

  long address() {
    return of(addresses);
  }
}
