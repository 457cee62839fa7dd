// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** What may no longer be done to a memfd. */
public enum Seal {
  /** No more seals. */
  SEAL(1),

  /** The file never gets shorter: no mapping of it can fault. */
  SHRINK(2),

  /** The file never gets longer. */
  GROW(4),

  /** The content stays. */
  WRITE(8);

  private final int bit;

  Seal(int bit) {
    this.bit = bit;
  }

  /** The kernel's bit. */
  int bit() {
    return bit;
  }
}
