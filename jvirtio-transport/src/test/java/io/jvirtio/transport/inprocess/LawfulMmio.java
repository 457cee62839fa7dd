// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.mmio.MmioAccess;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Stands between driver and device, and notes every access that a driver must not make. */
final class LawfulMmio implements MmioAccess, RegisterWindow {
  static final int GUEST_PAGE_SIZE = 0x28;
  static final int QUEUE_READY = 0x44;
  static final int QUEUE_PFN = 0x40;
  static final int INTERRUPT_STATUS = 0x60;
  static final int INTERRUPT_ACK = 0x64;
  private static final int DEVICE_FEATURES = 0x10;
  private static final int DEVICE_FEATURES_SEL = 0x14;
  private static final int DRIVER_FEATURES = 0x20;
  private static final int DRIVER_FEATURES_SEL = 0x24;
  private static final int QUEUE_SEL = 0x30;
  private static final int QUEUE_SIZE_MAX = 0x34;
  private static final int QUEUE_SIZE = 0x38;
  private static final int QUEUE_ALIGN = 0x3c;
  private static final int STATUS = 0x70;

  private static final Set<Integer> READABLE =
      Set.of(0, 4, 8, 0xc, 0x10, 0x34, 0x60, 0x70, QUEUE_READY, 0xc0, 0xfc);
  private static final Set<Integer> WRITABLE =
      Set.of(
          0x14,
          0x20,
          0x24,
          0x30,
          0x38,
          0x50,
          0x64,
          0x70,
          QUEUE_READY,
          0x80,
          0x84,
          0x90,
          0x94,
          0xa0,
          0xa4,
          0xc0);
  private static final Set<Integer> LEGACY_READABLE =
      Set.of(0, 4, 8, 0xc, 0x10, 0x34, 0x60, 0x70, QUEUE_PFN);
  private static final Set<Integer> LEGACY_WRITABLE =
      Set.of(0x14, 0x20, 0x24, GUEST_PAGE_SIZE, 0x30, 0x38, 0x3c, QUEUE_PFN, 0x50, 0x64, 0x70);

  private final MmioAccess target;
  private final boolean legacy;

  /** What was broken. */
  final List<String> crimes = new ArrayList<>();

  /** Writes to the register that enables queues: queue and value. */
  final List<List<Long>> enabling = new ArrayList<>();

  /** Writes to the status. */
  final List<Long> statuses = new ArrayList<>();

  int acknowledged;
  int interrupts;
  private int accesses;
  private int deviceSelectedAt = -1;
  private int driverSelectedAt = -1;
  private long queue = -1;
  private long most;
  private long status;
  private boolean pageSized;
  private final Map<Long, Boolean> ready = new HashMap<>();

  /** What has to be read back next, if anything. */
  private int readBack = -1;

  LawfulMmio(MmioAccess target, boolean legacy) {
    this.target = target;
    this.legacy = legacy;
  }

  private void check(boolean lawful, String crime) {
    if (!lawful) {
      crimes.add(crime);
    }
  }

  private boolean isRegister(long offset, int width, boolean write) {
    if (offset >= 0x100) {
      check(offset % width == 0 && width <= 4, width + " bytes at " + offset);
      return false;
    }
    Set<Integer> allowed =
        legacy ? write ? LEGACY_WRITABLE : LEGACY_READABLE : write ? WRITABLE : READABLE;
    check(
        width == 4 && allowed.contains((int) offset),
        (write ? "write" : "read") + " of " + width + " bytes at " + Long.toHexString(offset));
    check(accesses > 0 || offset == 0, "does not begin with the magic value");
    check(accesses != 1 || offset == 4, "no version after the magic value");
    check(accesses != 2 || offset == 8, "no device id after the version");
    accesses++;
    return true;
  }

  private boolean isReady() {
    return ready.getOrDefault(queue, false);
  }

  @Override
  public synchronized long read(long offset, int width) throws IOException {
    long value = target.registers().read(offset, width);
    if (isRegister(offset, width, false)) {
      check(readBack < 0 || readBack == offset, "does not read back " + readBack);
      readBack = -1;
      switch ((int) offset) {
        case DEVICE_FEATURES -> check(deviceSelectedAt >= 0, "no word of features selected");
        case QUEUE_SIZE_MAX -> {
          check(!legacy || !isReady(), "size of a queue in use");
          most = value;
        }
        default -> {}
      }
    }
    return value;
  }

  @Override
  public synchronized void write(long offset, int width, long value) throws IOException {
    if (isRegister(offset, width, true)) {
      check(readBack < 0, "does not read back " + readBack);
      judge((int) offset, value);
    }
    target.registers().write(offset, width, value);
  }

  private void judge(int offset, long value) {
    switch (offset) {
      case DEVICE_FEATURES_SEL -> deviceSelectedAt = (int) value;
      case DRIVER_FEATURES_SEL -> driverSelectedAt = (int) value;
      case DRIVER_FEATURES -> check(driverSelectedAt >= 0, "no word of features selected");
      case QUEUE_SEL -> {
        queue = value;
        most = -1;
      }
      case QUEUE_SIZE -> {
        check(most < 0 || value <= most, "size " + value + " of " + most);
        check(!isReady(), "size of a queue in use");
      }
      case QUEUE_ALIGN -> check(!isReady(), "alignment of a queue in use");
      case GUEST_PAGE_SIZE -> {
        check(!ready.containsValue(true), "page size while queues are in use");
        pageSized = true;
      }
      case QUEUE_READY, QUEUE_PFN -> judgeReady(offset, value);
      case INTERRUPT_ACK -> {
        check(value != 0 && (value & ~3) == 0, "acknowledges " + value);
        acknowledged++;
      }
      case STATUS -> {
        check(value == 0 || (status & ~value) == 0, "takes status bits back");
        status = value;
        statuses.add(value);
        if (value == 0) {
          check(!ready.containsValue(true), "resets before queues are stopped");
          ready.clear();
        }
      }
      case 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4 -> check(!isReady(), "address of a queue in use");
      case 0xc0 -> ready.put(queue, false);
      default -> {}
    }
  }

  private void judgeReady(int offset, long value) {
    enabling.add(List.of(queue, value));
    check(legacy ? pageSized : value <= 1, "enables a queue by " + value);
    check(value == 0 || !isReady(), "enables a queue twice");
    ready.put(queue, value != 0);
    if (value == 0) {
      readBack = offset;
    }
  }

  @Override
  public String name() {
    return target.name();
  }

  @Override
  public RegisterWindow registers() {
    return this;
  }

  @Override
  public long size() {
    return target.registers().size();
  }

  @Override
  public MemorySegment map(long address, long bytes) throws IOException {
    return target.map(address, bytes);
  }

  @Override
  public DriverMemory memory() {
    return target.memory();
  }

  @Override
  public void enableInterrupt(Runnable handler) throws IOException {
    target.enableInterrupt(
        () -> {
          interrupts++;
          int before = acknowledged;
          handler.run();
          check(acknowledged == before + 1, "an interrupt is not acknowledged once");
        });
  }

  @Override
  public void disableInterrupt() throws IOException {
    target.disableInterrupt();
  }

  @Override
  public void close() {
    target.close();
  }
}
