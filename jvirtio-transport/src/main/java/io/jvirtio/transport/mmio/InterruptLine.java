// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.transport.registers.DeviceRegisters;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The level of the interrupt line: asserted while the interrupt status is not 0. Thread-safe;
 * nothing here waits.
 */
final class InterruptLine implements DeviceRegisters.Interrupts {
  private final MmioInterrupt out;
  private final Runnable onReset;
  private final AtomicInteger changes = new AtomicInteger();

  /** The driver has acknowledged since the level was sent: what is there now is another event. */
  private final AtomicBoolean fell = new AtomicBoolean();

  private DeviceRegisters registers;

  /** What was sent last. Only between the first of {@link #changes} and the last. */
  private boolean level;

  /**
   * @param onReset what else is reset with the device
   */
  InterruptLine(MmioInterrupt out, Runnable onReset) {
    this.out = out;
    this.onReset = onReset;
  }

  /** Before anything else: whose interrupt status it is. */
  void connect(DeviceRegisters device) {
    registers = device;
  }

  @Override
  public void usedBuffers(int queue) {
    update();
  }

  @Override
  public void configurationChanged() {
    update();
  }

  @Override
  public void deviceReset() {
    onReset.run();
    fell.set(true);
    update();
  }

  /** The driver has handled these events. */
  void acknowledge(int bits) {
    registers.acknowledgeInterrupt(bits);
    fell.set(true);
    update();
  }

  /**
   * Sends the level if it has changed. Whoever comes while another thread is at it leaves it to
   * that one, so that levels go out one after the other and the last is right.
   */
  private void update() {
    if (changes.getAndIncrement() != 0) {
      return;
    }
    int seen;
    do {
      seen = changes.get();
      if (fell.getAndSet(false)) {
        send(false);
      }
      send(registers.interruptStatus() != 0);
    } while (!changes.compareAndSet(seen, 0));
  }

  private void send(boolean now) {
    if (now != level) {
      level = now;
      out.level(now);
    }
  }
}
