// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.AddressSpace;
import java.lang.foreign.MemorySegment;

/** The address space of this process as one segment. Stateless and thread-safe. */
@SuppressWarnings("exports") // The interface is for the modules of this project only.
public final class ProcessAddressSpace implements AddressSpace {
  private static final MemorySegment ALL = Libc.addressSpace();

  /** For the service loader. */
  public ProcessAddressSpace() {}

  @Override
  public MemorySegment all() {
    return ALL;
  }
}
