// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/**
 * A part of a BAR, which it does not leave. Thread-safe.
 *
 * @param length bytes that can be accessed
 */
record RegisterArea(String name, RegisterWindow window, long base, long length) {
  long read(long offset, int width) throws IOException {
    check(offset, width);
    return window.read(base + offset, width) & -1L >>> 64 - 8 * width;
  }

  void write(long offset, int width, long value) throws IOException {
    check(offset, width);
    window.write(base + offset, width, value);
  }

  boolean has(long offset, int width) {
    return offset >= 0 && offset <= length - width;
  }

  private void check(long offset, int width) throws IOException {
    if (!has(offset, width)) {
      throw new DeviceAnswerException(
          name + " ends after " + length + " bytes, before " + width + " bytes at " + offset);
    }
  }
}
