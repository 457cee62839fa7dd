// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import io.jvirtio.spec.DeviceStatus;

/**
 * The status and the notifications of drivers of the legacy interface, which may use queues before
 * they set DRIVER_OK, and are surprised to see it set then (virtio 1.4, Legacy Interface: Device
 * Initialization). Thread-safe; a notification of a live device takes no lock and allocates
 * nothing.
 */
public final class LegacyStatus {
  private final DeviceRegisters registers;
  private final Runnable beforeUse;

  /** The driver has not set DRIVER_OK, although it uses the device. */
  private volatile boolean early;

  /**
   * Of a device.
   *
   * @param beforeUse runs before the device becomes live
   */
  public LegacyStatus(DeviceRegisters registers, Runnable beforeUse) {
    this.registers = registers;
    this.beforeUse = beforeUse;
  }

  /** As after the reset of the device. */
  public void reset() {
    early = false;
  }

  /** The driver reads the status. */
  public int read() {
    int status = registers.status();
    return early ? status & ~DeviceStatus.DRIVER_OK : status;
  }

  /** The driver writes the status. */
  public void write(int value) {
    if ((value & DeviceStatus.DRIVER_OK) != 0) {
      early = false;
      beforeUse.run();
    }
    registers.writeStatus(value);
  }

  /** The driver notifies. */
  public void notified(int queue) {
    if (!registers.host().isLive() && registers.queueEnabled(queue)) {
      beforeUse.run();
      early = registers.startEarly();
    }
    registers.notified(queue);
  }
}
