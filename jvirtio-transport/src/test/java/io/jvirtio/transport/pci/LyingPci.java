// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.LyingMemory;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.LongSupplier;
import java.util.function.LongUnaryOperator;

/**
 * A function that is nothing but registers that keep what is written, and as many lies as a test
 * wants. At first it is a modern device without configuration, each of whose queues has size 16,
 * and with three vectors.
 */
final class LyingPci implements PciAccess {
  static final int COMMON = 0;
  static final int ISR = 0x100;
  static final int NOTIFY = 0x200;
  static final int BAR = 4;
  static final int MSIX_AT = 0xf4;

  static final int DEVICE_FEATURE = 0x04;
  static final int CONFIG_VECTOR = 0x10;
  static final int NUM_QUEUES = 0x12;
  static final int STATUS = 0x14;
  static final int QUEUE_SIZE = 0x18;
  static final int QUEUE_VECTOR = 0x1a;
  static final int QUEUE_ENABLE = 0x1c;
  static final int NOTIFY_OFF = 0x1e;
  static final int QUEUE_RESET = 0x3a;

  /** One access. */
  record Access(Window window, boolean write, long offset, int width, long value) {}

  /** Registers that keep what is written, but for those that lie. */
  final class Window implements RegisterWindow {
    final byte[] bytes;
    private final Map<Long, LongSupplier> lies = new HashMap<>();
    private final Map<Long, LongUnaryOperator> deaf = new HashMap<>();

    Window(int size) {
      bytes = new byte[size];
    }

    /** What a register says, whatever was written. */
    Window lie(long offset, LongSupplier value) {
      lies.put(offset, value);
      return this;
    }

    Window lie(long offset, long value) {
      return lie(offset, () -> value);
    }

    /** What a register keeps of what is written. */
    Window keep(long offset, LongUnaryOperator kept) {
      deaf.put(offset, kept);
      return this;
    }

    Window set(int offset, int width, long value) {
      for (int i = 0; i < width; i++) {
        bytes[offset + i] = (byte) (value >>> (8 * i));
      }
      return this;
    }

    long get(int offset, int width) {
      long value = 0;
      for (int i = 0; i < width; i++) {
        value |= (bytes[offset + i] & 0xffL) << (8 * i);
      }
      return value;
    }

    @Override
    public long size() {
      return bytes.length;
    }

    @Override
    public synchronized long read(long offset, int width) throws IOException {
      check(offset, width);
      LongSupplier lie = lies.get(offset);
      long value = lie != null ? lie.getAsLong() : get((int) offset, width);
      accesses.add(new Access(this, false, offset, width, value));
      return value;
    }

    @Override
    public synchronized void write(long offset, int width, long value) throws IOException {
      check(offset, width);
      accesses.add(new Access(this, true, offset, width, value));
      LongUnaryOperator kept = deaf.get(offset);
      set((int) offset, width, kept == null ? value : kept.applyAsLong(value));
    }

    private void check(long offset, int width) throws IOException {
      if (unreachable) {
        throw new IOException("the wire is cut");
      }
      // Whoever leaves the window or is not aligned is wrong, not the device.
      if (offset < 0 || offset + width > bytes.length || offset % width != 0) {
        throw new AssertionError(width + " bytes at " + offset);
      }
    }
  }

  final Window config = new Window(256);
  final Map<Integer, Window> bars = new TreeMap<>();
  final List<Access> accesses = new ArrayList<>();
  volatile boolean unreachable;
  boolean closed;

  /** What was enabled last. */
  List<Runnable> vectors = List.of();

  Runnable pin;
  int systemVectors = 2048;
  MemorySegment mapped;
  private final DriverMemory memory;
  private int nextCapability = 0x40;

  LyingPci() {
    this(0x1_0000_0000L);
  }

  /**
   * @param memoryBase where its memory begins
   */
  LyingPci(long memoryBase) {
    memory = new LyingMemory(memoryBase);
    config.set(0, 2, 0x1af4).set(2, 2, 0x1044).set(6, 2, 0x10).set(0x2c, 2, 0x1234);
    config.set(0x3d, 1, 1);
    bars.put(BAR, new Window(0x1000));
    structure(1, 16, BAR, COMMON, 0x40, 0);
    structure(2, 20, BAR, NOTIFY, 0x100, 4);
    structure(3, 16, BAR, ISR, 1, 0);
    common().set(NUM_QUEUES, 2, 2).set(QUEUE_SIZE, 2, 16);
    common().lie(DEVICE_FEATURE, () -> common().get(0, 4) == 1 ? 1 | 1 << 8 : 0);
    common().keep(QUEUE_RESET, value -> 0).keep(QUEUE_ENABLE, value -> 0);
    config.set(MSIX_AT, 1, 0x11).set(MSIX_AT + 2, 2, 2);
    link(MSIX_AT);
  }

  /** A function without any capability, with the ids of a transitional entropy device. */
  static LyingPci legacy(long memoryBase) {
    LyingPci pci = new LyingPci(memoryBase);
    pci.config.set(2, 2, 0x1005).set(0x2e, 2, 4).set(0x34, 1, 0).set(0x10, 4, 0xc001);
    pci.bars.clear();
    pci.bars.put(0, pci.new Window(64).set(12, 2, 16));
    return pci;
  }

  Window common() {
    return bars.get(BAR);
  }

  /** Takes all capabilities away. */
  LyingPci bare() {
    config.set(0x34, 1, 0);
    nextCapability = 0x40;
    return this;
  }

  /** Adds a structure to the end of the list, and returns where. */
  int structure(int type, int length, int bar, long offset, long size, long extra) {
    int at = nextCapability;
    nextCapability += 24;
    config.set(at, 1, 9).set(at + 1, 1, 0).set(at + 2, 1, length).set(at + 3, 1, type);
    config.set(at + 4, 1, bar).set(at + 8, 4, offset).set(at + 12, 4, size);
    config.set(at + 16, 4, extra);
    link(at);
    return at;
  }

  /** Makes the last capability lead to one. */
  void link(int to) {
    int at = 0x34;
    for (int next = (int) config.get(at, 1); next != 0; next = (int) config.get(at, 1)) {
      at = next + 1;
    }
    config.set(at, 1, to);
  }

  List<Access> writes(Window window, long offset) {
    return accesses.stream()
        .filter(a -> a.write() && a.window() == window && a.offset() == offset)
        .toList();
  }

  @Override
  public String name() {
    return "0000:00:1f.7";
  }

  @Override
  public RegisterWindow config() {
    return config;
  }

  @Override
  public RegisterWindow bar(int index) throws IOException {
    if (!bars.containsKey(index)) {
      throw new IOException("there is no BAR " + index);
    }
    return bars.get(index);
  }

  @Override
  public MemorySegment map(int bar, long offset, long bytes) {
    mapped = MemorySegment.ofArray(bars.get(bar).bytes).asSlice(offset, bytes);
    return mapped;
  }

  @Override
  public DriverMemory memory() {
    return memory;
  }

  @Override
  public void enableMsix(List<Runnable> handlers) throws IOException {
    if (handlers.size() > systemVectors) {
      throw new IOException("the system has " + systemVectors + " vectors");
    }
    vectors = handlers;
  }

  @Override
  public void enableIntx(Runnable handler) {
    pin = handler;
  }

  @Override
  public void disableInterrupts() {
    vectors = List.of();
    pin = null;
  }

  @Override
  public void close() {
    closed = true;
  }
}
