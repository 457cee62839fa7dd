// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.memory.DriverMemory;
import java.lang.foreign.Arena;

/** Memory at the addresses that a test names, for a driver of registers that lie. */
public final class LyingMemory extends DriverMemory {
  private final Arena arena = Arena.ofAuto();
  private long next;

  /** Begins at a device address. */
  public LyingMemory(long base) {
    next = base;
  }

  @Override
  protected Region grow(long bytes) {
    long size = bytes + 0xfffff & -0x100000L;
    next += size;
    return new Region(arena.allocate(size, 4096), next - size);
  }
}
