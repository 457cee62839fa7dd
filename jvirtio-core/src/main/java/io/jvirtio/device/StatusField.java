// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.spec.DeviceStatus;

/**
 * The device status field, and the configuration change notifications that depend on it (virtio
 * 1.4, Device Status Field; Device Suspend). Bits are changed by the control thread, but for
 * DEVICE_NEEDS_RESET; everything else on any thread.
 */
final class StatusField {
  private final HostListener listener;
  private volatile int bits;

  /** A notification that waits for the end of suspension. Under the lock. */
  private boolean kept;

  StatusField(HostListener listener) {
    this.listener = listener;
  }

  int get() {
    return bits;
  }

  boolean has(int bit) {
    return (bits & bit) != 0;
  }

  synchronized void change(int clear, int set) {
    bits = bits & ~clear | set;
  }

  /** Sets DEVICE_NEEDS_RESET, and tells the driver. */
  void needsReset() {
    change(0, DeviceStatus.DEVICE_NEEDS_RESET);
    configurationChanged();
  }

  /**
   * Notifies a driver that is live; while it has suspended the device, the notification is kept.
   * One that was on its way by then still arrives. Under no lock, since listeners may run drivers.
   */
  void configurationChanged() {
    boolean live;
    synchronized (this) {
      live = has(DeviceStatus.DRIVER_OK);
      kept |= has(DeviceStatus.SUSPEND);
    }
    if (live) {
      listener.configurationChanged();
    }
  }

  /** Live again; returns whether a notification was kept, for the caller to send. */
  synchronized boolean resume() {
    change(DeviceStatus.SUSPEND, DeviceStatus.DRIVER_OK);
    boolean due = kept;
    kept = false;
    return due;
  }

  synchronized void reset() {
    bits = 0;
    kept = false;
  }
}
