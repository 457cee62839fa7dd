// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.registers.DeviceRegisters;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * Which interrupt a notification of the device becomes: a message of the vector that it is mapped
 * to, or the level of the pin (virtio 1.4, MSI-X Vector Configuration; Used Buffer Notifications;
 * Notification of Device Configuration Changes).
 *
 * <p>Thread-safe; nothing here waits.
 */
final class InterruptRouter implements DeviceRegisters.Interrupts {
  /** A vector that is none. */
  static final int NO_VECTOR = 0xffff;

  private final PciInterrupts out;
  private final AtomicIntegerArray queueVectors;
  private final AtomicInteger changes = new AtomicInteger();
  private MsixTable msix;
  private DeviceRegisters registers;
  private LegacyBar legacy;
  private CommonConfig common;
  private volatile int configVector = NO_VECTOR;
  private volatile boolean msixEnabled;
  private volatile boolean pinDisabled;

  /** What was sent last. Only between the first of {@link #changes} and the last. */
  private boolean level;

  InterruptRouter(PciInterrupts out, int queues) {
    this.out = out;
    this.queueVectors = new AtomicIntegerArray(queues);
    unmap();
  }

  /** Before anything is routed: what else is reset with the device; null for what is not there. */
  void connect(DeviceRegisters device, MsixTable table, LegacyBar old, CommonConfig modern) {
    registers = device;
    msix = table;
    legacy = old;
    common = modern;
  }

  private void unmap() {
    configVector = NO_VECTOR;
    for (int i = 0; i < queueVectors.length(); i++) {
      queueVectors.set(i, NO_VECTOR);
    }
  }

  // --- what the driver chooses -------------------------------------------------------------

  int configVector() {
    return configVector;
  }

  void setConfigVector(int vector) {
    configVector = valid(vector);
  }

  int queueVector(int queue) {
    return registers.hasQueue(queue) ? queueVectors.get(queue) : NO_VECTOR;
  }

  void setQueueVector(int queue, int vector) {
    if (registers.hasQueue(queue)) {
      queueVectors.set(queue, valid(vector));
    } else {
      registers.counters().ignoredWrite();
    }
  }

  /** A vector that there is not makes the mapping fail, which the driver sees. */
  private int valid(int vector) {
    if (msix != null && vector >= 0 && vector < msix.vectors()) {
      return vector;
    }
    if (vector != NO_VECTOR) {
      registers.counters().ignoredWrite();
    }
    return NO_VECTOR;
  }

  /** Whether messages are sent instead of the pin's level. */
  boolean msixEnabled() {
    return msixEnabled;
  }

  void setMsixEnabled(boolean enabled) {
    msixEnabled = enabled;
    update();
  }

  void setPinDisabled(boolean disabled) {
    pinDisabled = disabled;
    update();
  }

  // --- what the device does ----------------------------------------------------------------

  @Override
  public boolean usesStatus() {
    return !msixEnabled;
  }

  @Override
  public void usedBuffers(int queue) {
    if (msixEnabled) {
      fire(queueVectors.get(queue));
    } else {
      update();
    }
  }

  @Override
  public void configurationChanged() {
    if (msixEnabled) {
      fire(configVector);
    } else {
      update();
    }
  }

  private void fire(int vector) {
    if (vector != NO_VECTOR) {
      msix.fire(vector);
    }
  }

  @Override
  public void deviceReset() {
    unmap();
    if (msix != null) {
      msix.forget();
    }
    if (legacy != null) {
      legacy.reset();
    }
    if (common != null) {
      common.reset();
    }
    update();
  }

  /** The driver reads the interrupt status: that clears it, and lets go of the pin. */
  int takeStatus() {
    int bits = registers.takeInterruptStatus();
    update();
    return bits;
  }

  /** The bit of the PCI status register: whether the pin is asserted, were it not disabled. */
  boolean interruptStatus() {
    return !msixEnabled && registers.interruptStatus() != 0;
  }

  /**
   * Sends the level of the pin if it has changed. Whoever comes while another thread is at it
   * leaves it to that one, so that levels go out one after the other and the last is right.
   */
  private void update() {
    if (changes.getAndIncrement() != 0) {
      return;
    }
    int seen;
    do {
      seen = changes.get();
      boolean now = interruptStatus() && !pinDisabled;
      if (now != level) {
        level = now;
        out.intx(now);
      }
    } while (!changes.compareAndSet(seen, 0));
  }
}
