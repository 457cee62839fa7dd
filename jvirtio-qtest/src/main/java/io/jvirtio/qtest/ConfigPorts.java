// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/**
 * The configuration spaces of PCI functions, through the ports 0xcf8 and 0xcfc of an x86 machine:
 * the first 256 bytes. Thread-safe.
 */
final class ConfigPorts {
  private static final int ADDRESS = 0xcf8;
  private static final int DATA = 0xcfc;
  private static final long ENABLE = 0x8000_0000L;
  private static final int SIZE = 256;

  private final QtestSession session;

  /** What the address port holds; the two ports are one register, so to say. */
  private long selected;

  ConfigPorts(QtestSession session) {
    this.session = session;
  }

  /** Reads; what is outside reads as ones, as where there is no function. */
  synchronized long read(PciAddress function, long offset, int width) throws IOException {
    QtestLines.suffix(width);
    if (offset < 0 || offset > SIZE - width) {
      return width == 8 ? -1 : (1L << 8 * width) - 1;
    }
    if ((offset & 3) + width > 4) {
      int half = width / 2;
      long low = read(function, offset, half);
      return low | read(function, offset + half, half) << 8 * half;
    }
    select(function, offset);
    return session.in(DATA + (int) (offset & 3), width);
  }

  /** Writes; what is outside goes nowhere. */
  synchronized void write(PciAddress function, long offset, int width, long value)
      throws IOException {
    QtestLines.suffix(width);
    if (offset < 0 || offset > SIZE - width) {
      return;
    }
    if ((offset & 3) + width > 4) {
      int half = width / 2;
      write(function, offset, half, value);
      write(function, offset + half, half, value >>> 8 * half);
      return;
    }
    select(function, offset);
    session.out(DATA + (int) (offset & 3), width, value);
  }

  private void select(PciAddress function, long offset) throws IOException {
    long address = ENABLE | function.bits() | offset & 0xfc;
    if (address != selected) {
      session.out(ADDRESS, 4, address);
      selected = address;
    }
  }

  /** One function's. */
  RegisterWindow window(PciAddress function) {
    return new RegisterWindow() {
      @Override
      public long size() {
        return SIZE;
      }

      @Override
      public long read(long offset, int width) throws IOException {
        return ConfigPorts.this.read(function, offset, width);
      }

      @Override
      public void write(long offset, int width, long value) throws IOException {
        ConfigPorts.this.write(function, offset, width, value);
      }
    };
  }
}
