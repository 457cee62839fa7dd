// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.registers.DeviceRegisters;

/**
 * The memory BAR of the modern interface (virtio 1.4, Virtio Structure PCI Capabilities), each
 * structure on pages of its own. Thread-safe; a notification takes no lock and allocates nothing.
 *
 * <pre>
 *   0x0000  common configuration
 *   0x1000  ISR status
 *   0x2000  device-specific configuration, if any
 *   0x3000  notifications; further up when the configuration is larger than a page
 * </pre>
 */
final class ModernBar implements RegisterWindow {
  static final int COMMON = 0;
  static final int ISR = 0x1000;
  static final int DEVICE = 0x2000;
  private static final int PAGE = 0x1000;
  private static final int MIN_NOTIFIER = 4;

  private final DeviceRegisters registers;
  private final InterruptRouter interrupts;
  private final CommonConfig common;
  private final AccessCounters counters;
  private final int multiplier;
  private final int notify;
  private final int notifyLength;
  private final int deviceLength;
  private final long size;

  /** For a device; {@code multiplier} as in {@link PciOptions#notifyMultiplier}. */
  ModernBar(DeviceRegisters registers, InterruptRouter interrupts, int multiplier) {
    this.registers = registers;
    this.interrupts = interrupts;
    this.common = new CommonConfig(registers, interrupts, multiplier == 0);
    this.counters = registers.counters();
    this.multiplier = multiplier;
    this.deviceLength = registers.host().config().size() + 3 & ~3;
    this.notify = DEVICE + pages(Math.max(1, deviceLength));
    this.notifyLength =
        Math.addExact(Math.multiplyExact(multiplier, registers.queueCount() - 1), MIN_NOTIFIER);
    this.size = Long.highestOneBit(2L * (notify + pages(notifyLength)) - 1);
  }

  private static int pages(int bytes) {
    return Math.addExact(bytes, PAGE - 1) & -PAGE;
  }

  /** Where notifications are, in bytes. */
  int notifyOffset() {
    return notify;
  }

  int notifyLength() {
    return notifyLength;
  }

  /** Bytes of the device-specific configuration, to a multiple of 4; 0 for none. */
  int deviceLength() {
    return deviceLength;
  }

  CommonConfig common() {
    return common;
  }

  @Override
  public long size() {
    return size;
  }

  @Override
  public long read(long offset, int width) {
    if (offset >= 0 && offset < ISR) {
      return common.read(offset - COMMON, width);
    }
    if (!RegisterWindow.isWidth(width)) {
      counters.ignoredRead();
      return 0;
    }
    if (offset == ISR && width <= 4) { // of whose 32 bits all but two are reserved
      return interrupts.takeStatus();
    }
    if (offset >= DEVICE && offset < DEVICE + deviceLength && offset % Math.min(width, 4) == 0) {
      return registers.readConfig(offset - DEVICE, width, false);
    }
    counters.ignoredRead();
    return 0;
  }

  @Override
  public void write(long offset, int width, long value) {
    if (!RegisterWindow.isWidth(width)) {
      counters.ignoredWrite();
    } else if (offset >= notify && offset < size) {
      notifyQueue((int) (offset - notify), width, (int) value);
    } else if (offset >= 0 && offset < ISR) {
      common.write(offset - COMMON, width, value);
    } else if (offset >= DEVICE && offset < DEVICE + deviceLength) {
      registers.writeConfig(offset - DEVICE, width, value, false);
    } else {
      counters.ignoredWrite();
    }
  }

  /** It is the value that names the queue, wherever it is written (virtio 1.4, Notifications). */
  private void notifyQueue(int offset, int width, int value) {
    boolean place = multiplier == 0 ? offset == 0 : (offset & multiplier - 1) == 0;
    if (!place || offset >= notifyLength) {
      counters.ignoredWrite();
    } else if (width == 2) {
      registers.notified(value & 0xffff);
    } else if (width == 4) {
      registers.notified(value);
    } else {
      counters.ignoredWrite();
    }
  }
}
