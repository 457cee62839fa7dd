// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import java.io.IOException;

/**
 * A window of device registers: where the two sides of a register transport meet. The device side
 * implements it; the driver side reads and writes it. It may be in this process, behind a socket,
 * or a mapped BAR.
 *
 * <p>Values are little-endian, as on PCI: the byte at {@code offset} is the lowest one of the
 * value. Thread-safe.
 */
public interface RegisterWindow {
  /** Whether there are accesses of so many bytes: 1, 2, 4 and 8. */
  static boolean isWidth(int width) {
    return width == 1 || width == 2 || width == 4 || width == 8;
  }

  /** Bytes. */
  long size();

  /**
   * Reads.
   *
   * @param offset in bytes; the device side answers any, also outside of the window
   * @param width 1, 2, 4 or 8 bytes; the device side answers others with zeros
   * @return the value, unsigned
   * @throws IOException when the device cannot be reached; the device side throws nothing
   */
  long read(long offset, int width) throws IOException;

  /**
   * Writes. A write may be posted: a read of the same window that follows comes after it.
   *
   * @param offset in bytes; the device side ignores what makes no sense
   * @param width 1, 2, 4 or 8 bytes; the device side ignores others
   * @param value its lowest {@code width} bytes are written
   * @throws IOException when the device cannot be reached; the device side throws nothing
   */
  void write(long offset, int width, long value) throws IOException;
}
