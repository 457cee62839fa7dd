// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** Variations of {@link Mapping#shared}. */
public enum MapOption {
  /** A store ends the process. Without it the mapping is readable and writable. */
  READ_ONLY,

  /**
   * A store stays in this process: the pages that it hits are copies from then on. The file need
   * only be open for reading. For what a peer lets nobody write, at addresses that it chooses.
   */
  PRIVATE,

  /** Leaves the memory out of core files. */
  DONT_DUMP
}
