// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.raw;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ServiceLoader;

/**
 * Loads and stores at absolute addresses, all little-endian.
 *
 * <p>The one class that touches the process-wide segment. It checks nothing: an address must come
 * from the current {@code GuestMemory} snapshot, which has checked it, and the snapshot's mappings
 * stay until every queue owner has let go of them. Static final handles over one constant segment
 * are what lets the JIT fold every bound away; addresses are masked so that it sees them as not
 * negative and aligned.
 *
 * <p>A load or store in a mapping whose file was truncated raises {@link InternalError}; the queue
 * runner turns that into a fault of one device.
 */
public final class RawMemory {
  private static final MemorySegment ALL =
      ServiceLoader.load(AddressSpace.class)
          .findFirst()
          .orElseThrow(
              () ->
                  new IllegalStateException(
                      "no provider of " + AddressSpace.class.getName() + ": add jvirtio-linux"))
          .all();

  private static final VarHandle SHORT = handle(ValueLayout.JAVA_SHORT);
  private static final VarHandle INT = handle(ValueLayout.JAVA_INT);
  private static final VarHandle LONG = handle(ValueLayout.JAVA_LONG);
  private static final VarHandle SHORT_UNALIGNED = handle(ValueLayout.JAVA_SHORT_UNALIGNED);
  private static final VarHandle INT_UNALIGNED = handle(ValueLayout.JAVA_INT_UNALIGNED);
  private static final VarHandle LONG_UNALIGNED = handle(ValueLayout.JAVA_LONG_UNALIGNED);
  private static final VarHandle BYTE = ValueLayout.JAVA_BYTE.varHandle().withInvokeExactBehavior();

  // No address has bit 62; a mask up to the segment's very end leaves the JIT a bound to check.
  private static final long ANY = Long.MAX_VALUE >> 1;
  private static final long ALIGNED_2 = ANY & ~1L;
  private static final long ALIGNED_4 = ANY & ~3L;
  private static final long ALIGNED_8 = ANY & ~7L;

  private RawMemory() {}

  private static VarHandle handle(ValueLayout layout) {
    return layout.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle().withInvokeExactBehavior();
  }

  /** Plain load of 8 bits, unsigned. */
  public static int getByte(long address) {
    return (byte) BYTE.get(ALL, address & ANY) & 0xff;
  }

  /** Plain store of 8 bits. */
  public static void putByte(long address, int value) {
    BYTE.set(ALL, address & ANY, (byte) value);
  }

  /** Plain load of 16 bits at an address that is a multiple of 2, unsigned. */
  public static int getShort(long address) {
    return (short) SHORT.get(ALL, address & ALIGNED_2) & 0xffff;
  }

  /** Acquire load of 16 bits at an address that is a multiple of 2, unsigned. */
  public static int getShortAcquire(long address) {
    return (short) SHORT.getAcquire(ALL, address & ALIGNED_2) & 0xffff;
  }

  /** Plain store of 16 bits at an address that is a multiple of 2. */
  public static void putShort(long address, int value) {
    SHORT.set(ALL, address & ALIGNED_2, (short) value);
  }

  /** Release store of 16 bits at an address that is a multiple of 2. */
  public static void putShortRelease(long address, int value) {
    SHORT.setRelease(ALL, address & ALIGNED_2, (short) value);
  }

  /** Plain store of 32 bits at an address that is a multiple of 4. */
  public static void putInt(long address, int value) {
    INT.set(ALL, address & ALIGNED_4, value);
  }

  /** Plain load of 32 bits at an address that is a multiple of 4. */
  public static int getInt(long address) {
    return (int) INT.get(ALL, address & ALIGNED_4);
  }

  /** Plain load of 64 bits at an address that is a multiple of 8. */
  public static long getLong(long address) {
    return (long) LONG.get(ALL, address & ALIGNED_8);
  }

  /** Acquire load of 64 bits at an address that is a multiple of 8. */
  public static long getLongAcquire(long address) {
    return (long) LONG.getAcquire(ALL, address & ALIGNED_8);
  }

  /**
   * Plain load of the 64 bits behind those at an address that is a multiple of 8. The JIT addresses
   * both from one masked address; the alignment is known to us and not to it.
   */
  public static long getSecondLong(long address) {
    return (long) LONG_UNALIGNED.get(ALL, (address & ALIGNED_8) + Long.BYTES);
  }

  /** Plain stores of 64 bits at an address that is a multiple of 8, and of 64 bits behind them. */
  public static void putLongs(long address, long first, long second) {
    long masked = address & ALIGNED_8;
    LONG.set(ALL, masked, first);
    LONG_UNALIGNED.set(ALL, masked + Long.BYTES, second);
  }

  /** Plain store of 64 bits at an address that is a multiple of 8. */
  public static void putLong(long address, long value) {
    LONG.set(ALL, address & ALIGNED_8, value);
  }

  /** Plain load of 16 bits at any address, unsigned. */
  public static int getShortUnaligned(long address) {
    return (short) SHORT_UNALIGNED.get(ALL, address & ANY) & 0xffff;
  }

  /** Plain load of 32 bits at any address. */
  public static int getIntUnaligned(long address) {
    return (int) INT_UNALIGNED.get(ALL, address & ANY);
  }

  /**
   * Plain load of 64 bits at any address, given as one that is the same for many loads and an
   * offset from it: masked before the addition, so that it is masked once. The offset must not be
   * negative.
   */
  public static long getLongUnaligned(long base, long offset) {
    return (long) LONG_UNALIGNED.get(ALL, (base & ANY) + offset);
  }

  /** Plain load of 64 bits at any address. */
  public static long getLongUnaligned(long address) {
    return (long) LONG_UNALIGNED.get(ALL, address & ANY);
  }

  /** Plain store of 16 bits at any address. */
  public static void putShortUnaligned(long address, int value) {
    SHORT_UNALIGNED.set(ALL, address & ANY, (short) value);
  }

  /** Plain store of 32 bits at any address. */
  public static void putIntUnaligned(long address, int value) {
    INT_UNALIGNED.set(ALL, address & ANY, value);
  }

  /** Plain store of 64 bits at any address. */
  public static void putLongUnaligned(long address, long value) {
    LONG_UNALIGNED.set(ALL, address & ANY, value);
  }

  /** Copies {@code length} bytes from {@code source} to {@code target}; they may overlap. */
  public static void copy(long source, long target, long length) {
    MemorySegment.copy(ALL, source, ALL, target, length);
  }

  /** Copies {@code length} bytes from memory into an array. */
  public static void copy(long source, byte[] target, int offset, int length) {
    MemorySegment.copy(ALL, ValueLayout.JAVA_BYTE, source, target, offset, length);
  }

  /** Copies {@code length} bytes from an array into memory. */
  public static void copy(byte[] source, int offset, long target, int length) {
    MemorySegment.copy(source, offset, ALL, ValueLayout.JAVA_BYTE, target, length);
  }

  /** Sets {@code length} bytes to zero. */
  public static void zero(long address, long length) {
    ALL.asSlice(address, length).fill((byte) 0);
  }

  /** A view of {@code length} bytes; for calls that need a segment, not for the hot path. */
  public static MemorySegment segment(long address, long length) {
    return ALL.asSlice(address, length);
  }
}
