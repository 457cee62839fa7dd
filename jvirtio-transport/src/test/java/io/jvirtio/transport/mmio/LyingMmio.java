// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.LyingMemory;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;

/**
 * Registers that keep what is written, and as many lies as a test wants. At first they are those of
 * a block device of version 2 with two queues of 16 descriptors.
 */
final class LyingMmio implements MmioAccess, RegisterWindow {
  static final int VERSION = 4;
  static final int DEVICE_ID = 8;
  static final int QUEUE_SEL = 0x30;
  static final int QUEUE_SIZE_MAX = 0x34;
  static final int QUEUE_PFN = 0x40;
  static final int QUEUE_READY = 0x44;
  static final int QUEUE_NOTIFY = 0x50;
  static final int INTERRUPT_STATUS = 0x60;
  static final int INTERRUPT_ACK = 0x64;
  static final int STATUS = 0x70;
  static final int SHM_SEL = 0xac;
  static final int SHM_LEN = 0xb0;
  static final int SHM_BASE = 0xb8;
  static final int QUEUE_RESET = 0xc0;
  static final int GENERATION = 0xfc;

  /** One access. */
  record Access(boolean write, int offset, int width, long value) {}

  private final byte[] bytes = new byte[0x200];
  private final Map<Integer, LongSupplier> lies = new HashMap<>();
  private final DriverMemory memory;
  final List<Access> accesses = new ArrayList<>();

  /** Bytes of the window that can be seen. */
  long visible = bytes.length;

  volatile boolean unreachable;
  boolean refusesInterrupts;
  boolean closed;
  Runnable handler;

  /** The last range that was mapped, as address and length. */
  List<Long> mapped;

  LyingMmio(int version) {
    this(version, 0x1_0000_0000L);
  }

  /**
   * @param memoryBase where its memory begins
   */
  LyingMmio(int version, long memoryBase) {
    memory = new LyingMemory(memoryBase);
    set(0, 0x74726976).set(VERSION, version).set(DEVICE_ID, 2).set(0xc, 0x1234);
    lie(QUEUE_SIZE_MAX, () -> get(QUEUE_SEL, 4) < 2 ? 16 : 0);
    lie(0x10, () -> version == 2 && get(0x14, 4) == 1 ? 1 | 1 << 8 : 0);
    lie(QUEUE_READY, 0).lie(QUEUE_RESET, 0).lie(QUEUE_PFN, 0);
  }

  /** What a register says, whatever was written. */
  LyingMmio lie(int offset, LongSupplier value) {
    lies.put(offset, value);
    return this;
  }

  LyingMmio lie(int offset, long value) {
    return lie(offset, () -> value);
  }

  LyingMmio set(int offset, long value) {
    put(offset, 4, value);
    return this;
  }

  private void put(int offset, int width, long value) {
    for (int i = 0; i < width; i++) {
      bytes[offset + i] = (byte) (value >>> (8 * i));
    }
  }

  private long get(int offset, int width) {
    long value = 0;
    for (int i = 0; i < width; i++) {
      value |= (bytes[offset + i] & 0xffL) << (8 * i);
    }
    return value;
  }

  /** What was written to a register. */
  List<Long> writes(int offset) {
    return accesses.stream()
        .filter(a -> a.write() && a.offset() == offset)
        .map(Access::value)
        .toList();
  }

  /** Where accesses went since the list was cleared. */
  List<Integer> offsets() {
    return accesses.stream().map(Access::offset).toList();
  }

  @Override
  public String name() {
    return "mmio@0xfeb00e00";
  }

  @Override
  public RegisterWindow registers() {
    return this;
  }

  @Override
  public long size() {
    return visible;
  }

  @Override
  public synchronized long read(long offset, int width) throws IOException {
    check(offset, width);
    LongSupplier lie = lies.get((int) offset);
    long value = lie != null ? lie.getAsLong() : get((int) offset, width);
    accesses.add(new Access(false, (int) offset, width, value));
    return value & 0xffff_ffffL;
  }

  @Override
  public synchronized void write(long offset, int width, long value) throws IOException {
    check(offset, width);
    accesses.add(new Access(true, (int) offset, width, value));
    put((int) offset, width, value);
  }

  private void check(long offset, int width) throws IOException {
    if (unreachable) {
      throw new IOException("the wire is cut");
    }
    // Whoever leaves the window or is not aligned is wrong, not the device.
    boolean register = offset < 0x100 && width == 4;
    boolean config = offset >= 0x100 && (width == 1 || width == 2 || width == 4);
    if (offset < 0 || offset + width > visible || offset % width != 0 || !register && !config) {
      throw new AssertionError(width + " bytes at " + offset);
    }
  }

  @Override
  public MemorySegment map(long address, long length) {
    mapped = List.of(address, length);
    return MemorySegment.ofArray(new byte[(int) length]);
  }

  @Override
  public DriverMemory memory() {
    return memory;
  }

  @Override
  public void enableInterrupt(Runnable newHandler) throws IOException {
    if (refusesInterrupts) {
      throw new IOException("the line is taken");
    }
    handler = newHandler;
  }

  @Override
  public void disableInterrupt() {
    handler = null;
  }

  @Override
  public void close() {
    closed = true;
  }
}
