// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;

/**
 * The configuration space of a function: a header of type 0 and the capability list, in 256 bytes.
 * Each bit is what it was made, or what the driver writes where it may.
 *
 * <p>There is no PCI Express capability. QEMU's virtio devices have none on the root bus of a PCI
 * Express machine either; only behind a root port they do, where an ordinary function works as
 * well, and no virtio driver looks for one.
 *
 * <p>Thread-safe: one access after the other.
 */
final class PciConfigSpace implements RegisterWindow {
  static final int SIZE = 256;

  static final int COMMAND_IO = 1;
  static final int COMMAND_MEMORY = 2;
  static final int COMMAND_MASTER = 4;
  static final int COMMAND_INTX_DISABLE = 0x400;

  static final int COMMAND = 0x04;
  private static final int STATUS = 0x06;
  private static final int STATUS_INTERRUPT = 0x08;
  private static final int STATUS_CAPABILITIES = 0x10;
  private static final int REVISION = 0x08;
  private static final int CACHE_LINE = 0x0c;
  private static final int BARS = 0x10;
  private static final int BARS_END = 0x28;
  private static final int SUBSYSTEM = 0x2c;
  private static final int ROM = 0x30;
  private static final int CAPABILITIES = 0x34;
  private static final int INTERRUPT_LINE = 0x3c;
  private static final int INTERRUPT_PIN = 0x3d;
  private static final int FIRST_CAPABILITY = 0x40;

  private static final int BAR_IO = 1;
  private static final int BAR_WIDE = 4;
  private static final int BAR_PREFETCHABLE = 8;

  /** What happens by accesses to the configuration space. Called under its lock. */
  interface Effects {
    /** The lowest byte of the status register is read: whether the pin wants to be asserted. */
    boolean interruptStatus();

    /** What is in {@code [offset, offset + width)} is about to be read. */
    void reading(int offset, int width);

    /** What was in {@code [offset, offset + width)} has been written. */
    void written(int offset, int width);
  }

  private final byte[] bytes = new byte[SIZE];

  /** By byte, the bits that the driver may write. */
  private final byte[] writable = new byte[SIZE];

  private final AccessCounters counters;
  private Effects effects;
  private byte[] initial;
  private int lastCapability = CAPABILITIES;
  private int end = FIRST_CAPABILITY;

  /** A header without BARs and capabilities. */
  PciConfigSpace(int type, PciOptions options, AccessCounters counters) {
    this.counters = counters;
    boolean modern = options.profile() == PciProfile.MODERN;
    int device = PciIds.device(type, options.profile());
    int modernSubsystem = options.subsystem() == 0 ? device : options.subsystem();
    set(0, 4, PciIds.VENDOR | device << 16);
    set(REVISION, 4, (modern ? 1 : 0) | PciIds.classCode(type) << 8);
    set(SUBSYSTEM, 4, options.subsystemVendor() | (modern ? modernSubsystem : type) << 16);
    set(INTERRUPT_PIN, 1, 1);
    allow(COMMAND, 2, COMMAND_MASTER | COMMAND_INTX_DISABLE);
    allow(CACHE_LINE, 1, 0xff);
    allow(INTERRUPT_LINE, 1, 0xff);
  }

  /** Adds a base address register. */
  void addBar(PciBar bar) {
    int at = BARS + 4 * bar.index();
    long address = -bar.window().size();
    int flags =
        bar.io()
            ? BAR_IO
            : (bar.wide() ? BAR_WIDE : 0) | (bar.prefetchable() ? BAR_PREFETCHABLE : 0);
    set(at, 4, flags);
    allow(at, 4, (int) address & ~0xf | (bar.io() ? (int) address & 0xc : 0));
    if (bar.wide()) {
      allow(at + 4, 4, (int) (address >>> 32));
    }
    int command = get(COMMAND, writable, 2) | (bar.io() ? COMMAND_IO : COMMAND_MEMORY);
    allow(COMMAND, 2, command);
  }

  /**
   * Appends a capability, read-only.
   *
   * @param id its id
   * @param body what follows the id and the pointer to the next
   * @return where it is
   * @throws IllegalArgumentException when there is no room for it
   */
  int addCapability(int id, byte[] body) {
    if (end + 2 + body.length > SIZE) {
      throw new IllegalArgumentException("the capabilities do not fit: too much shared memory");
    }
    int at = end;
    set(lastCapability, 1, at);
    set(STATUS, 2, STATUS_CAPABILITIES);
    set(at, 2, id);
    System.arraycopy(body, 0, bytes, at + 2, body.length);
    lastCapability = at + 1;
    end = at + 2 + body.length + 3 & ~3;
    return at;
  }

  /** Lets the driver write bits: of {@code size} bytes, those of {@code mask}. */
  void allow(int offset, int size, int mask) {
    for (int i = 0; i < size; i++) {
      writable[offset + i] = (byte) (mask >>> 8 * i);
    }
  }

  /** All is there; from now on it is accessed. */
  void complete(Effects all) {
    effects = all;
    initial = bytes.clone();
  }

  /** As after power-on. */
  synchronized void reset() {
    System.arraycopy(initial, 0, bytes, 0, SIZE);
    effects.written(0, SIZE);
  }

  /** Up to 4 bytes as they are now, without any effect. */
  synchronized int get(int offset, int size) {
    return get(offset, bytes, size);
  }

  private static int get(int offset, byte[] from, int size) {
    int value = 0;
    for (int i = 0; i < size; i++) {
      value |= (from[offset + i] & 0xff) << 8 * i;
    }
    return value;
  }

  /** Sets up to 4 bytes, without any effect. */
  synchronized void set(int offset, int size, int value) {
    for (int i = 0; i < size; i++) {
      bytes[offset + i] = (byte) (value >>> 8 * i);
    }
  }

  /** Sets a bit of the command register that is not set, as the driver would. */
  synchronized void setCommand(int bit) {
    int command = get(COMMAND, 2);
    if ((command & bit) == 0) {
      set(COMMAND, 2, command | bit);
      effects.written(COMMAND, 2);
    }
  }

  private static boolean isAccess(long offset, int width) {
    boolean allowed = width == 1 || width == 2 || width == 4;
    return allowed && offset >= 0 && offset <= SIZE - width && (offset & width - 1) == 0;
  }

  @Override
  public long size() {
    return SIZE;
  }

  @Override
  public synchronized long read(long offset, int width) {
    if (!isAccess(offset, width)) {
      counters.ignoredRead();
      return 0;
    }
    effects.reading((int) offset, width);
    if (offset <= STATUS && offset + width > STATUS) {
      int status = bytes[STATUS] & ~STATUS_INTERRUPT;
      bytes[STATUS] = (byte) (effects.interruptStatus() ? status | STATUS_INTERRUPT : status);
    }
    return get((int) offset, width) & 0xffff_ffffL;
  }

  @Override
  public synchronized void write(long offset, int width, long value) {
    if (!isAccess(offset, width)) {
      counters.ignoredWrite();
      return;
    }
    int at = (int) offset;
    boolean any = false;
    for (int i = at; i < at + width; i++) {
      any |= writable[i] != 0;
      int written = (int) (value >>> 8 * (i - at));
      bytes[i] = (byte) (bytes[i] & ~writable[i] | written & writable[i]);
    }
    if (any) {
      effects.written(at, width);
    } else if (!isProbe(at)) {
      counters.ignoredWrite();
    }
  }

  /** System software writes to registers that may be there to find out: that is no mistake. */
  private static boolean isProbe(int offset) {
    boolean bar = offset >= BARS && offset < BARS_END || offset == ROM;
    return bar || offset == STATUS; // whose error bits are cleared by writing them
  }
}
