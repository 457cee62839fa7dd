// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/** Registers at physical addresses or I/O ports. What is outside reads as ones. Thread-safe. */
final class AddressWindow implements RegisterWindow {
  private final QtestSession session;
  private final QtestInterrupts interrupts;
  private final boolean io;
  private final long base;
  private final long size;

  AddressWindow(
      QtestSession session, QtestInterrupts interrupts, boolean io, long base, long size) {
    this.session = session;
    this.interrupts = interrupts;
    this.io = io;
    this.base = base;
    this.size = size;
  }

  @Override
  public long size() {
    return size;
  }

  @Override
  public long read(long offset, int width) throws IOException {
    QtestLines.suffix(width);
    if (offset < 0 || offset > size - width) {
      return width == 8 ? -1 : (1L << 8 * width) - 1;
    }
    if (!io) {
      return session.read(base + offset, width);
    }
    int port = (int) (base + offset);
    return width < 8
        ? session.in(port, width)
        : session.in(port, 4) | session.in(port + 4, 4) << 32;
  }

  @Override
  public void write(long offset, int width, long value) throws IOException {
    QtestLines.suffix(width);
    if (offset < 0 || offset > size - width) {
      return;
    }
    int port = (int) (base + offset);
    if (!io) {
      session.write(base + offset, width, value);
    } else if (width < 8) {
      session.out(port, width, value);
    } else {
      session.out(port, 4, value);
      session.out(port + 4, 4, value >>> 32);
    }
    // It may have been a notification.
    interrupts.stir();
  }
}
