// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static io.jvirtio.transport.mmio.MmioLayout.CONFIG;
import static io.jvirtio.transport.mmio.MmioLayout.CONFIG_GENERATION;
import static io.jvirtio.transport.mmio.MmioLayout.DEVICE_FEATURES;
import static io.jvirtio.transport.mmio.MmioLayout.DEVICE_FEATURES_SEL;
import static io.jvirtio.transport.mmio.MmioLayout.DEVICE_ID;
import static io.jvirtio.transport.mmio.MmioLayout.DRIVER_FEATURES;
import static io.jvirtio.transport.mmio.MmioLayout.DRIVER_FEATURES_SEL;
import static io.jvirtio.transport.mmio.MmioLayout.INTERRUPT_ACK;
import static io.jvirtio.transport.mmio.MmioLayout.INTERRUPT_STATUS;
import static io.jvirtio.transport.mmio.MmioLayout.MAGIC;
import static io.jvirtio.transport.mmio.MmioLayout.MAGIC_VALUE;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_NOTIFY;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_SEL;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_SIZE;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_SIZE_MAX;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_BASE_HIGH;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_BASE_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_LEN_HIGH;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_LEN_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_SEL;
import static io.jvirtio.transport.mmio.MmioLayout.STATUS;
import static io.jvirtio.transport.mmio.MmioLayout.VENDOR_ID;
import static io.jvirtio.transport.mmio.MmioLayout.VERSION;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.registers.DeviceRegisters;
import java.util.function.IntFunction;

/**
 * A virtio device as memory mapped registers and an interrupt line, for whoever emulates a machine
 * (virtio 1.4, Virtio Over MMIO): version 2, or version 1, which is the legacy interface.
 *
 * <p>The control registers are accessed by 32 bits, aligned. The configuration space behind them by
 * 1, 2 or 4 bytes: aligned, and writes by whole fields or halves of one of 64 bits; on the legacy
 * interface any bytes.
 *
 * <p>Thread-safe; a notification of a live device takes no lock and allocates nothing. Nothing that
 * a driver does throws: what makes no sense has no effect and is counted, reads of it give zeros.
 */
public final class MmioDevice implements RegisterWindow, AutoCloseable {
  private static final int MIN_SIZE = 0x200;
  private static final int REGISTER_BYTES = 4;

  private final MmioOptions options;
  private final DeviceRegisters registers;
  private final AccessCounters counters;
  private final InterruptLine line;
  private final QueueBlock queues;
  private final SharedMemoryRegisters shared;
  private final long size;
  private volatile int deviceFeaturesSel;
  private volatile int driverFeaturesSel;
  private volatile int queueSel;

  /**
   * A device after reset, without memory.
   *
   * @param device belongs to this object from now on
   * @param owners of the device's side of each queue; they stay the caller's
   * @param out where the interrupt goes
   * @throws IllegalArgumentException when the device does not have the shared memory that the
   *     options place
   */
  public MmioDevice(
      VirtioDevice device,
      IntFunction<? extends QueueOwner> owners,
      MmioOptions options,
      MmioInterrupt out) {
    this.options = options;
    line = new InterruptLine(out, this::forget);
    registers =
        new DeviceRegisters(
            device, owners, options.carried(), options.bigEndianGuest(), line, options.resets());
    counters = registers.counters();
    line.connect(registers);
    queues = options.isLegacy() ? new LegacyQueues(registers) : new ModernQueues(registers);
    shared = new SharedMemoryRegisters(device.sharedMemory(), options.sharedMemory());
    size = Math.max(MIN_SIZE, CONFIG + (long) device.config().size());
  }

  /** As after the reset of the device. */
  private void forget() {
    deviceFeaturesSel = 0;
    driverFeaturesSel = 0;
    queueSel = 0;
    shared.reset();
    queues.forget();
  }

  /** Bytes: 512, or more where the configuration space needs it. */
  @Override
  public long size() {
    return size;
  }

  /** Whether a register may be there. */
  private static boolean isRegister(long offset, int width) {
    return offset >= 0
        && offset < CONFIG
        && width == REGISTER_BYTES
        && offset % REGISTER_BYTES == 0;
  }

  private boolean isConfig(long offset, int width) {
    return offset >= CONFIG
        && offset < size
        && RegisterWindow.isWidth(width)
        && width <= REGISTER_BYTES
        && (options.isLegacy() || offset % width == 0);
  }

  @Override
  public long read(long offset, int width) {
    if (isRegister(offset, width)) {
      return register((int) offset) & 0xffff_ffffL;
    }
    if (isConfig(offset, width)) {
      return registers.readConfig(offset - CONFIG, width, options.isLegacy());
    }
    counters.ignoredRead();
    return 0;
  }

  private long register(int offset) {
    return switch (offset) {
      case MAGIC_VALUE -> MAGIC;
      case VERSION -> options.version();
      case DEVICE_ID -> registers.host().device().deviceId();
      case VENDOR_ID -> options.vendorId();
      case DEVICE_FEATURES -> deviceFeatures();
      case QUEUE_SIZE_MAX -> registers.queueMaxSize(queueSel);
      case INTERRUPT_STATUS -> registers.interruptStatus();
      case STATUS -> queues.status();
      default -> options.isLegacy() ? queues.read(offset, queueSel) : modernRegister(offset);
    };
  }

  private long modernRegister(int offset) {
    return switch (offset) {
      case SHM_LEN_LOW -> shared.length();
      case SHM_LEN_HIGH -> shared.length() >>> 32;
      case SHM_BASE_LOW -> shared.address();
      case SHM_BASE_HIGH -> shared.address() >>> 32;
      case CONFIG_GENERATION -> registers.configGeneration();
      default -> queues.read(offset, queueSel);
    };
  }

  private int deviceFeatures() {
    int word = deviceFeaturesSel;
    if (!options.isLegacy()) {
      return registers.deviceFeatures(word);
    }
    return word == 0 ? registers.legacyDeviceFeatures() : 0;
  }

  @Override
  public void write(long offset, int width, long value) {
    if (isRegister(offset, width)) {
      writeRegister((int) offset, (int) value);
    } else if (isConfig(offset, width)) {
      registers.writeConfig(offset - CONFIG, width, value, options.isLegacy());
    } else {
      counters.ignoredWrite();
    }
  }

  private void writeRegister(int offset, int value) {
    switch (offset) {
      case QUEUE_NOTIFY -> queues.notified(value);
      case INTERRUPT_ACK -> acknowledge(value);
      case DEVICE_FEATURES_SEL -> deviceFeaturesSel = value;
      case DRIVER_FEATURES -> writeDriverFeatures(value);
      case DRIVER_FEATURES_SEL -> driverFeaturesSel = value;
      case QUEUE_SEL -> queueSel = value;
      case QUEUE_SIZE -> registers.writeQueueSize(queueSel, value);
      case STATUS -> queues.writeStatus(value);
      case SHM_SEL -> {
        if (options.isLegacy()) {
          counters.ignoredWrite();
        } else {
          shared.select(value);
        }
      }
      default -> queues.write(offset, queueSel, value);
    }
  }

  private void writeDriverFeatures(int bits) {
    int word = driverFeaturesSel;
    if (!options.isLegacy()) {
      registers.writeDriverFeatures(word, bits);
    } else if (word == 0) {
      registers.writeLegacyFeatures(bits);
    } else if (bits != 0) { // zeros mean nothing, and Linux writes them
      counters.ignoredWrite();
    }
  }

  private void acknowledge(int bits) {
    int known = DeviceRegisters.ISR_QUEUE | DeviceRegisters.ISR_CONFIG;
    if ((bits & ~known) != 0) {
      counters.ignoredWrite();
    }
    line.acknowledge(bits & known);
  }

  /**
   * Replaces guest memory. Queues whose rings are gone stand still until those are there again.
   *
   * @return whether nothing refers any more to what was there before; false when a queue does not
   *     end what it has in flight there, which must stay mapped then
   */
  public boolean setMemory(GuestMemory memory) {
    return registers.setMemory(memory);
  }

  /** Adds to guest memory, without a stop ({@link DeviceHost#growMemory}). */
  public void growMemory(GuestMemory larger) {
    registers.growMemory(larger);
  }

  /**
   * Resets the device, as that of the machine does. As with a driver's reset, it may go on when
   * this returns ({@link MmioOptions#resets}). Memory stays.
   */
  public void reset() {
    registers.reset();
    queues.forgetMachine();
  }

  /** The device's host: features, status, counters. */
  public DeviceHost host() {
    return registers.host();
  }

  /** What made no sense. */
  public AccessCounters counters() {
    return counters;
  }

  /** Resets the device for the last time, and waits for it. */
  @Override
  public void close() {
    registers.close();
  }
}
