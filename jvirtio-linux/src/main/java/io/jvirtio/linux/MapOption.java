// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** Variations of {@link Mapping#shared}. */
public enum MapOption {
  /** A store raises InternalError. Without it the mapping is readable and writable. */
  READ_ONLY,

  /** Leaves the memory out of core files. */
  DONT_DUMP
}
