// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.memory;

import io.jvirtio.raw.RawMemory;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * An immutable snapshot of guest memory.
 *
 * <p>Replaced as a whole: a transport publishes a new snapshot, every queue owner acknowledges it,
 * and only then are the mappings unmapped that the new one no longer holds. Thread-safe.
 */
public final class GuestMemory {
  /** No memory at all: every translation is a fault. */
  public static final GuestMemory EMPTY = new GuestMemory(List.of());

  private final long[] guest;
  private final long[] size;
  private final long[] host;

  private GuestMemory(List<MemoryRegion> sorted) {
    int n = sorted.size();
    guest = new long[n];
    size = new long[n];
    host = new long[n];
    for (int i = 0; i < n; i++) {
      guest[i] = sorted.get(i).guestAddress();
      size[i] = sorted.get(i).size();
      host[i] = sorted.get(i).hostAddress();
    }
  }

  /**
   * A snapshot of the given regions, in any order.
   *
   * @throws IllegalArgumentException when two of them overlap
   */
  public static GuestMemory of(List<MemoryRegion> regions) {
    MemoryRegion[] sorted = regions.toArray(MemoryRegion[]::new);
    Arrays.sort(sorted, Comparator.comparingLong(r -> r.guestAddress() ^ Long.MIN_VALUE));
    for (int i = 1; i < sorted.length; i++) {
      long gap = sorted[i].guestAddress() - sorted[i - 1].guestAddress();
      if (Long.compareUnsigned(gap, sorted[i - 1].size()) < 0) {
        throw new IllegalArgumentException(
            String.format(
                "memory regions overlap at 0x%x and 0x%x",
                sorted[i - 1].guestAddress(), sorted[i].guestAddress()));
      }
    }
    return new GuestMemory(List.of(sorted));
  }

  /** How many regions there are. */
  public int regionCount() {
    return guest.length;
  }

  /**
   * The region that holds an address.
   *
   * @param address guest-physical, unsigned
   * @param hint a region to try first, such as the last answer; any number is allowed
   * @return its index
   * @throws PeerFault when no region holds it
   */
  public int regionOf(long address, int hint) throws PeerFault {
    int region = find(address, hint);
    if (region < 0) {
      throw new PeerFault(FaultReason.ADDRESS_OUTSIDE_MEMORY, address);
    }
    return region;
  }

  /** As {@link #regionOf}, but -1 when no region holds it. */
  public int find(long address, int hint) {
    if (hint >= 0 && hint < guest.length && holds(hint, address)) {
      return hint;
    }
    for (int i = 0; i < guest.length; i++) {
      if (holds(i, address)) {
        return i;
      }
    }
    return -1;
  }

  private boolean holds(int region, long address) {
    return Long.compareUnsigned(address - guest[region], size[region]) < 0;
  }

  /** The guest-physical address of a region's first byte. */
  public long start(int region) {
    return guest[region];
  }

  /** Bytes from an address, which the region must hold, to the region's end. */
  public long remaining(int region, long address) {
    return size[region] - (address - guest[region]);
  }

  /** Where an address, which the region must hold, is mapped in this process. */
  public long hostAddress(int region, long address) {
    return host[region] + (address - guest[region]);
  }

  /**
   * Loads 64 bits, little-endian, at any address: they may cross the edge of regions.
   *
   * @param region the region that holds the first byte
   * @throws PeerFault when no region holds one of the others
   */
  public long loadLong(long address, int region) throws PeerFault {
    if (remaining(region, address) >= 8) {
      return RawMemory.getLongUnaligned(hostAddress(region, address));
    }
    long value = 0;
    int hint = region;
    for (int i = 0; i < 8; i++) {
      hint = regionOf(address + i, hint);
      value |= (long) RawMemory.getByte(hostAddress(hint, address + i)) << (8 * i);
    }
    return value;
  }

  /**
   * Translates a range that must lie in one piece in this process.
   *
   * @param address guest-physical, unsigned
   * @param length bytes, positive
   * @return the absolute address
   * @throws PeerFault when a byte of it is outside memory, or it crosses the edge of a region
   */
  public long contiguous(long address, long length) throws PeerFault {
    checkRange(address, length);
    int region = regionOf(address, 0);
    if (remaining(region, address) < length) {
      throw new PeerFault(
          coversRange(address, length)
              ? FaultReason.CROSSES_REGION
              : FaultReason.ADDRESS_OUTSIDE_MEMORY,
          address);
    }
    return hostAddress(region, address);
  }

  /** Fails when {@code address + length} passes 2^64. */
  public static void checkRange(long address, long length) throws PeerFault {
    if (Long.compareUnsigned(address + (length - 1), address) < 0) {
      throw new PeerFault(FaultReason.ADDRESS_OVERFLOW, address);
    }
  }

  private boolean coversRange(long address, long length) {
    long at = address;
    long left = length;
    int region = 0;
    while (left > 0) {
      region = find(at, region);
      if (region < 0) {
        return false;
      }
      long step = Math.min(left, remaining(region, at));
      at += step;
      left -= step;
    }
    return true;
  }
}
