// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.registers.DeviceRegisters;
import io.jvirtio.transport.registers.LegacyStatus;

/**
 * The I/O BAR of the legacy interface (virtio 1.4, Legacy Interfaces: A Note on PCI Device Layout).
 * Thread-safe; a notification of a live device takes no lock and allocates nothing.
 */
final class LegacyBar implements RegisterWindow {
  private static final int DEVICE_FEATURES = 0;
  private static final int DRIVER_FEATURES = 4;
  private static final int QUEUE_ADDRESS = 8;
  private static final int QUEUE_SIZE = 12;
  private static final int QUEUE_SELECT = 14;
  private static final int QUEUE_NOTIFY = 16;
  private static final int DEVICE_STATUS = 18;
  private static final int ISR_STATUS = 19;
  private static final int CONFIG_VECTOR = 20;
  private static final int QUEUE_VECTOR = 22;

  /** Where the device-specific configuration is without MSI-X, and with it. */
  private static final int CONFIG = 20;

  private static final int CONFIG_WITH_MSIX = 24;
  private static final int MIN_SIZE = 32;
  private static final int PAGE = 4096;
  private static final int ALIGN = 4096;

  private final DeviceRegisters registers;
  private final InterruptRouter interrupts;
  private final AccessCounters counters;
  private final LegacyStatus status;
  private final long size;
  private volatile int queueSelect;

  /**
   * For a device.
   *
   * @param becomeMaster makes the function bus master
   */
  LegacyBar(DeviceRegisters registers, InterruptRouter interrupts, Runnable becomeMaster) {
    this.registers = registers;
    this.interrupts = interrupts;
    this.counters = registers.counters();
    // Linux before 2.6.34 does not make the function bus master.
    this.status = new LegacyStatus(registers, becomeMaster);
    int end = CONFIG_WITH_MSIX + registers.host().config().size();
    this.size = Math.max(MIN_SIZE, Integer.highestOneBit(2 * end - 1));
  }

  /** As after the reset of the device. */
  void reset() {
    queueSelect = 0;
    status.reset();
  }

  @Override
  public long size() {
    return size;
  }

  private int config() {
    return interrupts.msixEnabled() ? CONFIG_WITH_MSIX : CONFIG;
  }

  private static boolean isField(long offset, int width) {
    return RegisterWindow.isWidth(width) && fieldWidth(offset) == width;
  }

  private static int fieldWidth(long offset) {
    return switch ((int) offset) {
      case DEVICE_FEATURES, DRIVER_FEATURES, QUEUE_ADDRESS -> 4;
      case QUEUE_SIZE, QUEUE_SELECT, QUEUE_NOTIFY, CONFIG_VECTOR, QUEUE_VECTOR -> 2;
      case DEVICE_STATUS, ISR_STATUS -> 1;
      default -> 0;
    };
  }

  @Override
  public long read(long offset, int width) {
    int config = config();
    if (offset >= config && offset < size && RegisterWindow.isWidth(width)) {
      return registers.readConfig(offset - config, width, true);
    }
    if (offset < 0 || offset >= config || !isField(offset, width)) {
      counters.ignoredRead();
      return 0;
    }
    long value =
        switch ((int) offset) {
          case DEVICE_FEATURES -> registers.legacyDeviceFeatures();
          case DRIVER_FEATURES -> registers.driverFeatures(0);
          case QUEUE_ADDRESS -> registers.queuePfn(queueSelect);
          // What the legacy interface has no way to choose is what there is at most.
          case QUEUE_SIZE -> registers.queueMaxSize(queueSelect);
          case QUEUE_SELECT -> queueSelect;
          case QUEUE_NOTIFY -> 0;
          case DEVICE_STATUS -> status.read();
          case ISR_STATUS -> interrupts.takeStatus();
          case CONFIG_VECTOR -> interrupts.configVector();
          default -> interrupts.queueVector(queueSelect);
        };
    return value & 0xffff_ffffL;
  }

  @Override
  public void write(long offset, int width, long value) {
    int config = config();
    if (offset >= config && offset < size && RegisterWindow.isWidth(width)) {
      registers.writeConfig(offset - config, width, value, true);
      return;
    }
    if (offset < 0 || offset >= config || !isField(offset, width)) {
      counters.ignoredWrite();
      return;
    }
    int bits = (int) (value & (1L << 8 * width) - 1);
    switch ((int) offset) {
      case QUEUE_NOTIFY -> status.notified(bits);
      case DRIVER_FEATURES -> registers.writeLegacyFeatures(bits);
      case QUEUE_ADDRESS -> registers.writeQueuePfn(queueSelect, bits & 0xffff_ffffL, PAGE, ALIGN);
      case QUEUE_SELECT -> queueSelect = bits;
      case DEVICE_STATUS -> status.write(bits);
      case CONFIG_VECTOR -> interrupts.setConfigVector(bits);
      case QUEUE_VECTOR -> interrupts.setQueueVector(queueSelect, bits);
      default -> counters.ignoredWrite();
    }
  }
}
