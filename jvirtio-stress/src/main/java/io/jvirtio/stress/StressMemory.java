// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.stress;

import io.jvirtio.memory.DriverMemory;
import java.lang.foreign.Arena;

/** Memory that both sides find at its address in this process. Never given back. */
final class StressMemory extends DriverMemory {
  private static final long LEAST = 4L << 20;

  @Override
  protected Region grow(long bytes) {
    var segment = Arena.global().allocate(Math.max(bytes, LEAST) + 4095 & -4096, 4096);
    return new Region(segment, segment.address());
  }
}
