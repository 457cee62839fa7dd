// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static io.jvirtio.transport.mmio.MmioLayout.GUEST_PAGE_SIZE;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_ALIGN;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_PFN;

import io.jvirtio.transport.registers.DeviceRegisters;
import io.jvirtio.transport.registers.LegacyStatus;
import java.util.concurrent.atomic.AtomicIntegerArray;

/** What only version 1 has (virtio 1.4, Virtio Over MMIO, Legacy interface). Thread-safe. */
final class LegacyQueues extends QueueBlock {
  /** Of the used ring, until the driver says otherwise. */
  private static final int DEFAULT_ALIGN = 4096;

  private final LegacyStatus status;
  private final AtomicIntegerArray aligns;

  /** Survives the reset of the device: Linux writes it before that. */
  private volatile int pageSize;

  LegacyQueues(DeviceRegisters registers) {
    super(registers);
    status = new LegacyStatus(registers, () -> {});
    aligns = new AtomicIntegerArray(registers.queueCount());
    forget();
  }

  @Override
  void forget() {
    status.reset();
    for (int i = 0; i < aligns.length(); i++) {
      aligns.set(i, DEFAULT_ALIGN);
    }
  }

  @Override
  void forgetMachine() {
    pageSize = 0;
  }

  @Override
  int status() {
    return status.read();
  }

  @Override
  void applyStatus(int value) {
    status.write(value);
  }

  @Override
  void notified(int value) {
    status.notified(value);
  }

  @Override
  long read(int offset, int queue) {
    if (offset == QUEUE_PFN) {
      return registers.queuePfn(queue);
    }
    registers.counters().ignoredRead();
    return 0;
  }

  @Override
  void write(int offset, int queue, int value) {
    switch (offset) {
      case GUEST_PAGE_SIZE -> {
        if (isPower(value)) {
          pageSize = value;
        } else {
          registers.counters().ignoredWrite();
        }
      }
      case QUEUE_ALIGN -> {
        if (isPower(value) && registers.hasQueue(queue) && registers.queuePfn(queue) == 0) {
          aligns.set(queue, value);
        } else {
          registers.counters().ignoredWrite();
        }
      }
      case QUEUE_PFN -> writePfn(queue, value & 0xffff_ffffL);
      default -> registers.counters().ignoredWrite();
    }
  }

  private static boolean isPower(int value) {
    return value > 0 && Integer.bitCount(value) == 1;
  }

  private void writePfn(int queue, long pfn) {
    if (!registers.hasQueue(queue)) {
      registers.counters().ignoredWrite();
    } else if (pfn != 0) {
      registers.writeQueuePfn(queue, pfn, pageSize, aligns.get(queue));
    } else if (registers.queuePfn(queue) != 0) { // Linux writes 0 after each reset as well
      registers.writeQueuePfn(queue, 0, pageSize, aligns.get(queue));
    }
  }
}
