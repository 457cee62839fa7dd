// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.transport.registers.DeviceRegisters;

/** The registers that differ between the versions: mostly those of queues. Thread-safe. */
abstract class QueueBlock {
  final DeviceRegisters registers;

  QueueBlock(DeviceRegisters registers) {
    this.registers = registers;
  }

  /** The driver reads the status. */
  int status() {
    return registers.status();
  }

  /** The driver writes the status. */
  final void writeStatus(int value) {
    if ((value & ~0xff) != 0) { // of which nothing is left but a reset
      registers.counters().ignoredWrite();
    } else {
      applyStatus(value);
    }
  }

  /** The driver writes a status of 8 bits. */
  void applyStatus(int value) {
    registers.writeStatus(value);
  }

  /** The driver notifies. */
  void notified(int value) {
    registers.notified(value);
  }

  /** Reads a register that only this version has; counted where there is none. */
  abstract long read(int offset, int queue);

  /** Writes one; counted where there is none. */
  abstract void write(int offset, int queue, int value);

  /** As after the reset of the device. */
  void forget() {}

  /** As after the reset of the machine. */
  void forgetMachine() {}
}
