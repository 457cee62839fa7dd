// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.raw;

import java.lang.foreign.MemorySegment;

/**
 * Service that hands out the whole address space of the process as one segment.
 *
 * <p>Making such a segment is a restricted operation, so the one module that is granted native
 * access ({@code io.jvirtio.linux}) provides it and this module only consumes it.
 */
public interface AddressSpace {
  /**
   * The address space.
   *
   * @return a segment at address 0 with the length {@link Long#MAX_VALUE}, in the global scope
   */
  MemorySegment all();
}
