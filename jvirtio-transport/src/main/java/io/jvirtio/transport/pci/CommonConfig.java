// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.registers.DeviceRegisters;
import io.jvirtio.transport.registers.DeviceRegisters.Area;

/**
 * The common configuration structure (virtio 1.4, Common configuration structure layout). Each
 * field has its own width; one of 64 bits is also accessed by its halves. Thread-safe.
 */
final class CommonConfig implements RegisterWindow {
  /** Bytes. */
  static final int SIZE = 0x40;

  private static final int DEVICE_FEATURE_SELECT = 0x00;
  private static final int DEVICE_FEATURE = 0x04;
  private static final int DRIVER_FEATURE_SELECT = 0x08;
  private static final int DRIVER_FEATURE = 0x0c;
  private static final int CONFIG_MSIX_VECTOR = 0x10;
  private static final int NUM_QUEUES = 0x12;
  private static final int DEVICE_STATUS = 0x14;
  private static final int CONFIG_GENERATION = 0x15;
  private static final int QUEUE_SELECT = 0x16;
  private static final int QUEUE_SIZE = 0x18;
  private static final int QUEUE_MSIX_VECTOR = 0x1a;
  private static final int QUEUE_ENABLE = 0x1c;
  private static final int QUEUE_NOTIFY_OFF = 0x1e;
  private static final int QUEUE_DESC = 0x20;
  private static final int QUEUE_DRIVER = 0x28;
  private static final int QUEUE_DEVICE = 0x30;
  private static final int QUEUE_NOTIF_CONFIG_DATA = 0x38;
  private static final int QUEUE_RESET = 0x3a;
  private static final int ADMIN_QUEUE_INDEX = 0x3c;
  private static final int ADMIN_QUEUE_NUM = 0x3e;

  private final DeviceRegisters registers;
  private final InterruptRouter interrupts;
  private final AccessCounters counters;
  private final boolean oneNotifier;
  private volatile int deviceFeatureSelect;
  private volatile int driverFeatureSelect;
  private volatile int queueSelect;

  /** What the driver sees of the generation, and what it stood for. Under this object. */
  private int shownGeneration;

  private int generation;

  /** The structure; {@code oneNotifier} says whether all queues are notified at one place. */
  CommonConfig(DeviceRegisters registers, InterruptRouter interrupts, boolean oneNotifier) {
    this.registers = registers;
    this.interrupts = interrupts;
    this.counters = registers.counters();
    this.oneNotifier = oneNotifier;
  }

  /** As after the reset of the device. */
  void reset() {
    deviceFeatureSelect = 0;
    driverFeatureSelect = 0;
    queueSelect = 0;
  }

  @Override
  public long size() {
    return SIZE;
  }

  /** The width of the field at an offset; 8 for one that can be accessed by its halves. */
  private static int fieldWidth(int offset) {
    return switch (offset) {
      case DEVICE_FEATURE_SELECT, DEVICE_FEATURE, DRIVER_FEATURE_SELECT, DRIVER_FEATURE -> 4;
      case CONFIG_MSIX_VECTOR, NUM_QUEUES -> 2;
      case DEVICE_STATUS, CONFIG_GENERATION -> 1;
      case QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE -> 8;
      case QUEUE_DESC + 4, QUEUE_DRIVER + 4, QUEUE_DEVICE + 4 -> 4;
      default -> offset >= QUEUE_SELECT && (offset & 1) == 0 && !isAddress(offset) ? 2 : 0;
    };
  }

  private static boolean isAddress(int offset) {
    return offset >= QUEUE_DESC && offset < QUEUE_NOTIF_CONFIG_DATA;
  }

  private static boolean fits(long offset, int width) {
    if (offset < 0 || offset >= SIZE || !RegisterWindow.isWidth(width)) {
      return false;
    }
    int field = fieldWidth((int) offset);
    return field == width || field == 8 && width == 4;
  }

  @Override
  public long read(long offset, int width) {
    if (!fits(offset, width)) {
      counters.ignoredRead();
      return 0;
    }
    int at = (int) offset;
    if (isAddress(at)) {
      long address = registers.queueAddress(queueSelect, area(at));
      long part = (at & 4) != 0 ? address >>> 32 : address;
      return width == 8 ? part : part & 0xffff_ffffL;
    }
    return field(at) & 0xffff_ffffL;
  }

  private int field(int offset) {
    int queue = queueSelect;
    return switch (offset) {
      case DEVICE_FEATURE_SELECT -> deviceFeatureSelect;
      case DEVICE_FEATURE -> registers.deviceFeatures(deviceFeatureSelect);
      case DRIVER_FEATURE_SELECT -> driverFeatureSelect;
      case DRIVER_FEATURE -> registers.driverFeatures(driverFeatureSelect);
      case CONFIG_MSIX_VECTOR -> interrupts.configVector();
      case NUM_QUEUES -> registers.queueCount();
      case DEVICE_STATUS -> registers.status();
      case CONFIG_GENERATION -> generation();
      case QUEUE_SELECT -> queue;
      case QUEUE_SIZE -> registers.queueSize(queue);
      case QUEUE_MSIX_VECTOR -> interrupts.queueVector(queue);
      case QUEUE_ENABLE -> registers.queueEnabled(queue) ? 1 : 0;
      case QUEUE_NOTIFY_OFF -> registers.hasQueue(queue) && !oneNotifier ? queue : 0;
      case QUEUE_NOTIF_CONFIG_DATA ->
          registers.accepted(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA)
              ? registers.notificationConfigData(queue)
              : 0;
      case QUEUE_RESET -> registers.queueResetting(queue) ? 1 : 0;
      case ADMIN_QUEUE_INDEX, ADMIN_QUEUE_NUM -> 0; // there is no VIRTIO_F_ADMIN_VQ
      default -> 0;
    };
  }

  private static Area area(int offset) {
    return switch (offset & ~7) {
      case QUEUE_DESC -> Area.DESCRIPTOR;
      case QUEUE_DRIVER -> Area.DRIVER;
      default -> Area.DEVICE;
    };
  }

  /** Eight bits that differ from those before whenever the generation does, however often. */
  private synchronized int generation() {
    int now = registers.configGeneration();
    if (now != generation) {
      generation = now;
      shownGeneration = shownGeneration + 1 & 0xff;
    }
    return shownGeneration;
  }

  @Override
  public void write(long offset, int width, long value) {
    if (!fits(offset, width)) {
      counters.ignoredWrite();
      return;
    }
    int at = (int) offset;
    int queue = queueSelect;
    if (isAddress(at)) {
      writeAddress(queue, at, width, value);
      return;
    }
    int bits = (int) (value & (1L << 8 * width) - 1);
    switch (at) {
      case DEVICE_FEATURE_SELECT -> deviceFeatureSelect = bits;
      case DRIVER_FEATURE_SELECT -> driverFeatureSelect = bits;
      case DRIVER_FEATURE -> registers.writeDriverFeatures(driverFeatureSelect, bits);
      case CONFIG_MSIX_VECTOR -> interrupts.setConfigVector(bits);
      case DEVICE_STATUS -> registers.writeStatus(bits);
      case QUEUE_SELECT -> queueSelect = bits;
      case QUEUE_SIZE -> registers.writeQueueSize(queue, bits);
      case QUEUE_MSIX_VECTOR -> interrupts.setQueueVector(queue, bits);
      case QUEUE_ENABLE -> {
        if (bits == 1) {
          registers.enableQueue(queue);
        } else {
          counters.ignoredWrite();
        }
      }
      case QUEUE_RESET -> {
        if (bits == 1 && registers.accepted(ReservedFeatures.VIRTIO_F_RING_RESET)) {
          registers.resetQueue(queue);
        } else {
          counters.ignoredWrite();
        }
      }
      default -> counters.ignoredWrite();
    }
  }

  private void writeAddress(int queue, int offset, int width, long value) {
    Area area = area(offset);
    long address = value;
    if (width == 4) {
      long old = registers.queueAddress(queue, area);
      address =
          (offset & 4) != 0
              ? old & 0xffff_ffffL | value << 32
              : old & ~0xffff_ffffL | value & 0xffff_ffffL;
    }
    registers.writeQueueAddress(queue, area, address);
  }
}
