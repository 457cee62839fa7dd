// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * The vectors of MSI-X: the table and the pending bits, in a BAR of their own. As the PCI
 * specification has it, they are accessed by 32 or 64 bits, aligned.
 *
 * <p>Thread-safe. {@link #fire} takes no lock and allocates nothing.
 */
final class MsixTable implements RegisterWindow {
  private static final int ENTRY = 16;
  private static final int MIN_PENDING_OFFSET = 0x800;
  private static final int MIN_SIZE = 0x1000;

  /**
   * Where a message goes, what it says, and whether it must not: as one, because drivers change it
   * while it is masked, and none is sent half changed.
   */
  private record Entry(long address, int data, boolean masked) {
    Entry withAddress(long newAddress) {
      return new Entry(newAddress, data, masked);
    }
  }

  private static final Entry NOWHERE = new Entry(0, 0, true);

  private final AtomicReferenceArray<Entry> entries;
  private final AtomicIntegerArray pending;
  private final PciInterrupts out;
  private final boolean external;
  private final AccessCounters counters;
  private final int pendingOffset;
  private final int size;

  /** Whether the function sends messages: it is bus master, and not masked as a whole. */
  private volatile boolean open;

  /**
   * So many vectors, masked.
   *
   * @param external whether messages go out as they come, without address, and the table counts for
   *     nothing
   */
  MsixTable(int vectors, PciInterrupts out, boolean external, AccessCounters counters) {
    this.entries = new AtomicReferenceArray<>(vectors);
    this.pending = new AtomicIntegerArray(vectors);
    this.out = out;
    this.external = external;
    this.counters = counters;
    this.pendingOffset = Math.max(MIN_PENDING_OFFSET, roundUp(vectors * ENTRY));
    this.size = Math.max(MIN_SIZE, roundUp(pendingOffset + pendingBytes()));
    reset();
  }

  private static int roundUp(int bytes) {
    return Integer.highestOneBit(2 * bytes - 1);
  }

  private int pendingBytes() {
    return (vectors() + 63) / 64 * 8;
  }

  int vectors() {
    return entries.length();
  }

  /** Where the pending bits are in the BAR, in bytes. */
  int pendingOffset() {
    return pendingOffset;
  }

  /** As after the reset of the function. */
  void reset() {
    open = false;
    forget();
    for (int i = 0; i < vectors(); i++) {
      entries.set(i, NOWHERE);
    }
  }

  /** Nothing is pending any more. */
  void forget() {
    for (int i = 0; i < vectors(); i++) {
      pending.set(i, 0);
    }
  }

  /** Whether the function sends messages; what is pending goes out once it does. */
  void setOpen(boolean now) {
    boolean opens = now && !open;
    open = now;
    for (int i = 0; opens && i < vectors(); i++) {
      deliver(i);
    }
  }

  /** Sends the message of a vector, now or once it may. */
  void fire(int vector) {
    if (external) {
      out.msix(vector, 0, 0);
      return;
    }
    // Pending first: whoever unmasks at this moment sees it, or is seen.
    pending.set(vector, 1);
    deliver(vector);
  }

  private void deliver(int vector) {
    Entry entry = entries.get(vector);
    if (open && !entry.masked() && pending.getAndSet(vector, 0) != 0) {
      out.msix(vector, entry.address(), entry.data());
    }
  }

  @Override
  public long size() {
    return size;
  }

  @Override
  public long read(long offset, int width) {
    if (width == 8 && offset >= 0 && offset < size && (offset & 7) == 0) {
      return word((int) offset) & 0xffff_ffffL | (long) word((int) offset + 4) << 32;
    }
    if (width != 4 || offset < 0 || offset >= size || (offset & 3) != 0) {
      counters.ignoredRead();
      return 0;
    }
    return word((int) offset) & 0xffff_ffffL;
  }

  private int word(int offset) {
    if (offset < vectors() * ENTRY) {
      int vector = offset / ENTRY;
      Entry entry = entries.get(vector);
      return switch (offset % ENTRY) {
        case 0 -> (int) entry.address();
        case 4 -> (int) (entry.address() >>> 32);
        case 8 -> entry.data();
        default -> entry.masked() ? 1 : 0;
      };
    }
    int bits = 0;
    int first = (offset - pendingOffset) * 8;
    for (int i = 0; i < 32 && first >= 0 && first + i < vectors(); i++) {
      bits |= pending.get(first + i) << i;
    }
    return bits;
  }

  @Override
  public void write(long offset, int width, long value) {
    boolean inside = offset >= 0 && offset < (long) vectors() * ENTRY;
    if (inside && width == 4 && (offset & 3) == 0) {
      writeWord((int) offset, (int) value);
    } else if (inside && width == 8 && (offset & 7) == 0) {
      writeWord((int) offset, (int) value);
      writeWord((int) offset + 4, (int) (value >>> 32));
    } else {
      counters.ignoredWrite();
    }
  }

  private void writeWord(int offset, int value) {
    int vector = offset / ENTRY;
    entries.updateAndGet(
        vector,
        e ->
            switch (offset % ENTRY) {
              case 0 -> e.withAddress(e.address() & ~0xffff_ffffL | value & 0xffff_fffcL);
              case 4 -> e.withAddress(e.address() & 0xffff_ffffL | (long) value << 32);
              case 8 -> new Entry(e.address(), value, e.masked());
              default -> new Entry(e.address(), e.data(), (value & 1) != 0);
            });
    deliver(vector);
  }
}
