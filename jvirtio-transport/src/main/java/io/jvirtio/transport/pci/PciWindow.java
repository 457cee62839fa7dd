// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/**
 * The window into BARs that is in the configuration space, for who cannot map them (virtio 1.4, PCI
 * configuration access capability). Under the lock of the configuration space.
 */
final class PciWindow {
  /** Bytes behind the id of the capability and the pointer to the next. */
  static final int BODY = 18;

  private static final int BAR = 4;
  private static final int OFFSET = 8;
  private static final int LENGTH = 12;
  private static final int DATA = 16;

  private final PciConfigSpace config;
  private final int at;
  private final RegisterWindow[] bars;
  private final AccessCounters counters;

  /**
   * A window.
   *
   * @param at where the capability is; what the driver may write becomes writable
   * @param bars those that it opens into, by number; null for the others
   */
  PciWindow(PciConfigSpace config, int at, RegisterWindow[] bars, AccessCounters counters) {
    this.config = config;
    this.at = at;
    this.bars = bars;
    this.counters = counters;
    config.allow(at + BAR, 1, 0xff);
    config.allow(at + OFFSET, 4, -1);
    config.allow(at + LENGTH, 4, -1);
    config.allow(at + DATA, 4, -1);
  }

  /** Whether an access to the configuration space is one to the data of the window. */
  boolean isData(int offset, int width) {
    return offset < at + DATA + 4 && offset + width > at + DATA;
  }

  /** Fills the data from the BAR; leaves it alone where the window leads nowhere. */
  void read() {
    RegisterWindow bar = target();
    if (bar == null) {
      counters.ignoredRead();
      return;
    }
    try {
      int length = config.get(at + LENGTH, 4);
      long value = bar.read(config.get(at + OFFSET, 4) & 0xffff_ffffL, length);
      config.set(at + DATA, length, (int) value);
    } catch (IOException impossible) {
      throw new AssertionError(impossible);
    }
  }

  /** Writes the data to the BAR, if the window leads anywhere. */
  void write() {
    RegisterWindow bar = target();
    if (bar == null) {
      counters.ignoredWrite();
      return;
    }
    try {
      int length = config.get(at + LENGTH, 4);
      long data = config.get(at + DATA, length) & 0xffff_ffffL;
      bar.write(config.get(at + OFFSET, 4) & 0xffff_ffffL, length, data);
    } catch (IOException impossible) {
      throw new AssertionError(impossible);
    }
  }

  private RegisterWindow target() {
    int bar = config.get(at + BAR, 1);
    int length = config.get(at + LENGTH, 4);
    int offset = config.get(at + OFFSET, 4);
    boolean allowed = length == 1 || length == 2 || length == 4;
    return allowed && (offset & length - 1) == 0 && bar < bars.length ? bars[bar] : null;
  }
}
