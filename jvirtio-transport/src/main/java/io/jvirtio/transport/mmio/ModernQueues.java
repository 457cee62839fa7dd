// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DESC_HIGH;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DESC_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DEVICE_HIGH;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DEVICE_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DRIVER_HIGH;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DRIVER_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_READY;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_RESET;

import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.registers.DeviceRegisters;
import io.jvirtio.transport.registers.DeviceRegisters.Area;

/** What only version 2 has (virtio 1.4, MMIO Device Register Layout). Thread-safe. */
final class ModernQueues extends QueueBlock {
  ModernQueues(DeviceRegisters registers) {
    super(registers);
  }

  @Override
  long read(int offset, int queue) {
    return switch (offset) {
      case QUEUE_READY -> isReady(queue) ? 1 : 0;
      case QUEUE_RESET -> registers.queueResetting(queue) ? 1 : 0;
      default -> {
        registers.counters().ignoredRead();
        yield 0;
      }
    };
  }

  /** One that is being reset may still be accessed. Asked first, since that does not wait. */
  private boolean isReady(int queue) {
    return registers.queueResetting(queue) || registers.queueEnabled(queue);
  }

  @Override
  void write(int offset, int queue, int value) {
    switch (offset) {
      case QUEUE_READY -> writeReady(queue, value);
      case QUEUE_RESET -> {
        if (value == 1 && registers.accepted(ReservedFeatures.VIRTIO_F_RING_RESET)) {
          registers.resetQueue(queue);
        } else {
          registers.counters().ignoredWrite();
        }
      }
      case QUEUE_DESC_LOW -> low(queue, Area.DESCRIPTOR, value);
      case QUEUE_DESC_HIGH -> high(queue, Area.DESCRIPTOR, value);
      case QUEUE_DRIVER_LOW -> low(queue, Area.DRIVER, value);
      case QUEUE_DRIVER_HIGH -> high(queue, Area.DRIVER, value);
      case QUEUE_DEVICE_LOW -> low(queue, Area.DEVICE, value);
      case QUEUE_DEVICE_HIGH -> high(queue, Area.DEVICE, value);
      default -> registers.counters().ignoredWrite();
    }
  }

  private void writeReady(int queue, int value) {
    if (value == 1) {
      registers.enableQueue(queue);
    } else if (value != 0 || !registers.hasQueue(queue)) {
      registers.counters().ignoredWrite();
    } else if (registers.queueEnabled(queue)) { // Linux writes it after each reset as well
      registers.resetQueue(queue);
    }
  }

  private void low(int queue, Area area, int value) {
    long old = registers.queueAddress(queue, area);
    registers.writeQueueAddress(queue, area, old & ~0xffff_ffffL | value & 0xffff_ffffL);
  }

  private void high(int queue, Area area, int value) {
    long old = registers.queueAddress(queue, area);
    registers.writeQueueAddress(queue, area, old & 0xffff_ffffL | (long) value << 32);
  }
}
