// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.DriverRegisters;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.util.BitSet;

/** What both versions have in common, for a driver. */
abstract class MmioRegisters implements DriverRegisters {
  static final int WORD_BITS = 32;
  private static final int ALL_ONES = -1;

  private final MmioAccess access;
  private final RegisterWindow window;
  private final MmioIdentity identity;
  private final int vendorId;
  private final boolean wantsInterrupt;

  /** Queues that the device was told to use. */
  private final BitSet inUse = new BitSet();

  MmioRegisters(MmioAccess access, MmioIdentity identity, MmioDriverOptions options)
      throws IOException {
    this.access = access;
    this.window = access.registers();
    this.identity = identity;
    this.wantsInterrupt = options.interrupts();
    this.vendorId = get(MmioLayout.VENDOR_ID);
  }

  final MmioAccess access() {
    return access;
  }

  final int get(int register) throws IOException {
    return (int) window.read(register, 4);
  }

  final void set(int register, int value) throws IOException {
    window.write(register, 4, value & 0xffff_ffffL);
  }

  final void select(int queue) throws IOException {
    set(MmioLayout.QUEUE_SEL, queue);
  }

  @Override
  public final String name() {
    return access.name();
  }

  @Override
  public final int deviceId() {
    return identity.deviceId();
  }

  @Override
  public final int vendorId() {
    return vendorId;
  }

  @Override
  public final boolean isLegacy() {
    return identity.isLegacy();
  }

  @Override
  public final DriverMemory memory() {
    return access.memory();
  }

  @Override
  public final int status() throws IOException {
    int status = get(MmioLayout.STATUS);
    return status == ALL_ONES ? -1 : status & 0xff;
  }

  @Override
  public void writeStatus(int status) throws IOException {
    if (status == 0) {
      stopQueues();
    }
    set(MmioLayout.STATUS, status);
  }

  /** Says so to the device, and looks whether it has heard; whether it obeys, its reset tells. */
  private void stopQueues() throws IOException {
    for (int i = inUse.nextSetBit(0); i >= 0; i = inUse.nextSetBit(i + 1)) {
      disableQueue(i);
    }
    inUse.clear();
  }

  /** Disables a queue, and reads that back, to be sure that the device has heard. */
  abstract void disableQueue(int queue) throws IOException;

  @Override
  public final int deviceFeatures(int word) throws IOException {
    set(MmioLayout.DEVICE_FEATURES_SEL, word);
    return get(MmioLayout.DEVICE_FEATURES);
  }

  @Override
  public final void writeDriverFeatures(int word, int bits) throws IOException {
    set(MmioLayout.DRIVER_FEATURES_SEL, word);
    set(MmioLayout.DRIVER_FEATURES, bits);
  }

  @Override
  public final int configSize() {
    return Math.clamp(window.size() - MmioLayout.CONFIG, 0, Integer.MAX_VALUE);
  }

  @Override
  public final long readConfig(int offset, int width) throws IOException {
    return window.read(MmioLayout.CONFIG + offset, width);
  }

  @Override
  public final void writeConfig(int offset, int width, long value) throws IOException {
    window.write(MmioLayout.CONFIG + offset, width, value);
  }

  @Override
  public final int queueCount() {
    return -1;
  }

  @Override
  public final void enableQueue(int queue) throws IOException {
    inUse.set(queue);
    select(queue);
    start(queue);
  }

  /** Enables the queue that is selected. */
  abstract void start(int queue) throws IOException;

  @Override
  public final void notifyQueue(int queue, int value, boolean wide) throws IOException {
    set(MmioLayout.QUEUE_NOTIFY, wide ? value : value & 0xffff);
  }

  @Override
  public final void connectInterrupts(BitSet queues, Interrupts interrupts) throws IOException {
    if (!wantsInterrupt) {
      return;
    }
    try {
      access.enableInterrupt(
          () -> {
            try {
              handle(interrupts);
            } catch (IOException e) {
              interrupts.failed(e);
            }
          });
    } catch (IOException e) {
      throw new DeviceAnswerException(name() + " gives no interrupt: " + e.getMessage(), e);
    }
  }

  /**
   * What is acknowledged is what was read, and before anybody looks at a ring: a buffer that is
   * used after that look then makes another interrupt. The write may be posted, so it is followed
   * by a read.
   */
  private void handle(Interrupts interrupts) throws IOException {
    int status = get(MmioLayout.INTERRUPT_STATUS);
    int known = status & (ISR_QUEUE | ISR_CONFIG);
    if (known != 0) {
      set(MmioLayout.INTERRUPT_ACK, known);
      get(MmioLayout.INTERRUPT_STATUS);
    }
    if (status != 0) {
      interrupts.interrupt(status);
    }
  }

  @Override
  public final void disconnectInterrupts() throws IOException {
    access.disableInterrupt();
  }

  @Override
  public final void reconnect() throws IOException {
    MmioIdentity now = MmioIdentity.read(window);
    if (now.problem() != null) {
      throw new IOException(now.problem());
    }
    if (!now.equals(identity)) {
      throw new IOException("there is another device: " + now);
    }
    inUse.clear(); // whoever was away forgot them
  }

  @Override
  public final void close() {
    access.close();
  }
}
