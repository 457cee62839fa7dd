// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.memory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The memory that a driver shares with its device: where its virtqueues and buffers lie.
 *
 * <p>The device knows a byte of it by its device address (a guest-physical address, in the words of
 * the specification), the driver by a segment. It consists of regions, which only ever become more;
 * a transport provides them. What is allocated is zeroed.
 *
 * <p>Thread-safe. Translation takes no lock; allocation does, and is not for the hot path.
 */
public abstract class DriverMemory {
  /** Everything handed out starts at a multiple of this, so that no two share a cache line. */
  public static final long GRAIN = 64;

  /** No address space has more; sums with it do not overflow. */
  private static final long MOST = 1L << 48;

  /**
   * One region.
   *
   * @param segment where it is in this process
   * @param deviceAddress where the device sees it, unsigned
   */
  public record Region(MemorySegment segment, long deviceAddress) {}

  /** The regions as the hot path reads them. Immutable; replaced as a whole. */
  private record Table(long[] host, long[] size, long[] device) {
    /** The region that holds all of a range; -1 for none. */
    int find(long from, long bytes) {
      for (int i = 0; i < host.length; i++) {
        long offset = from - host[i];
        if (offset >= 0 && bytes >= 0 && bytes <= size[i] - offset) {
          return i;
        }
      }
      return -1;
    }
  }

  private volatile Table table = new Table(new long[0], new long[0], new long[0]);
  private final List<Region> regions = new ArrayList<>();

  /** Free ranges, by host address. */
  private final TreeMap<Long, Long> free = new TreeMap<>();

  /** What was handed out: size by host address. */
  private final Map<Long, Long> taken = new HashMap<>();

  private long allocated;

  /** No region yet. */
  protected DriverMemory() {}

  /**
   * Makes one more region and tells the device. Called with the lock held.
   *
   * @param bytes the least size, positive
   * @return zeroed memory whose host and device addresses are multiples of 4096
   * @throws IOException when the device or the system takes no more
   */
  protected abstract Region grow(long bytes) throws IOException;

  /**
   * Allocates zeroed memory; grows when there is too little.
   *
   * @param bytes positive, at most 2^48
   * @param alignment of the device address, a power of two up to 4096
   * @throws IOException when there is no more
   */
  public final synchronized MemorySegment allocate(long bytes, long alignment) throws IOException {
    if (bytes <= 0
        || bytes > MOST
        || Long.bitCount(alignment) != 1
        || alignment < 1
        || alignment > 4096) {
      throw new IllegalArgumentException(bytes + " bytes aligned to " + alignment);
    }
    long size = roundUp(bytes, GRAIN);
    long align = Math.max(alignment, GRAIN);
    MemorySegment found = take(bytes, size, align);
    if (found == null) {
      add(grow(size));
      found = take(bytes, size, align);
      if (found == null) {
        throw new IOException("no room for " + bytes + " bytes in memory shared with the device");
      }
    }
    taken.put(found.address(), size);
    allocated += size;
    return found.fill((byte) 0);
  }

  private MemorySegment take(long bytes, long size, long align) {
    for (Map.Entry<Long, Long> range : free.entrySet()) {
      long start = range.getKey();
      long end = start + range.getValue();
      // Host and device addresses of a region are equal modulo 4096.
      long at = roundUp(start, align);
      if (at < end && end - at >= size) {
        free.remove(start);
        if (at > start) {
          free.put(start, at - start);
        }
        if (end > at + size) {
          free.put(at + size, end - at - size);
        }
        Region region = regionOf(at);
        return region.segment().asSlice(at - region.segment().address(), bytes);
      }
    }
    return null;
  }

  private void add(Region region) {
    long host = region.segment().address();
    long size = region.segment().byteSize();
    if (((host | region.deviceAddress()) & 4095) != 0 || size <= 0) {
      throw new IllegalStateException("region " + region);
    }
    regions.add(region);
    int n = regions.size();
    Table next = new Table(new long[n], new long[n], new long[n]);
    for (int i = 0; i < n; i++) {
      next.host[i] = regions.get(i).segment().address();
      next.size[i] = regions.get(i).segment().byteSize();
      next.device[i] = regions.get(i).deviceAddress();
    }
    free.put(host, size);
    table = next;
  }

  /**
   * Gives memory back. The device must be done with it.
   *
   * @param segment exactly what {@link #allocate} returned
   * @throws IllegalArgumentException for anything that is not allocated here
   */
  public final synchronized void release(MemorySegment segment) {
    long start = segment.address();
    long size = roundUp(segment.byteSize(), GRAIN);
    if (!segment.isNative() || !taken.remove(start, size)) {
      throw new IllegalArgumentException("not allocated here, or released twice: " + segment);
    }
    Map.Entry<Long, Long> before = free.floorEntry(start);
    Map.Entry<Long, Long> after = free.ceilingEntry(start);
    allocated -= size;
    long end = start + size;
    Region region = regionOf(start);
    // Ranges of different regions never merge, even where the regions touch.
    long regionStart = region.segment().address();
    long regionEnd = regionStart + region.segment().byteSize();
    if (before != null && before.getKey() + before.getValue() == start && start != regionStart) {
      start = before.getKey();
    }
    if (after != null && after.getKey() == end && end != regionEnd) {
      free.remove(after.getKey());
      end += after.getValue();
    }
    free.put(start, end - start);
  }

  private Region regionOf(long host) {
    for (Region region : regions) {
      if (host - region.segment().address() >= 0
          && host - region.segment().address() < region.segment().byteSize()) {
        return region;
      }
    }
    return null;
  }

  private static long roundUp(long value, long multiple) {
    return (value + multiple - 1) & -multiple;
  }

  /** Bytes handed out and not yet given back, rounded up to {@link #GRAIN} each. */
  public final synchronized long allocated() {
    return allocated;
  }

  /** The regions so far. */
  public final synchronized List<Region> regions() {
    return List.copyOf(regions);
  }

  /** The regions as a device in the same process sees them. */
  public final GuestMemory snapshot() {
    return GuestMemory.of(
        regions().stream()
            .map(
                r ->
                    new MemoryRegion(
                        r.deviceAddress(), r.segment().byteSize(), r.segment().address()))
            .toList());
  }

  /** Whether the device can see all of a segment. */
  public final boolean isShared(MemorySegment segment) {
    return segment.isNative() && table.find(segment.address(), segment.byteSize()) >= 0;
  }

  /**
   * The device address of a segment.
   *
   * @throws IllegalArgumentException when a byte of it is not in memory shared with the device
   */
  public final long deviceAddress(MemorySegment segment) {
    return deviceAddress(segment.isNative() ? segment.address() : 0, segment.byteSize());
  }

  /**
   * The device address of a range of this process.
   *
   * @param host absolute address in this process
   * @param bytes 0 or more
   * @throws IllegalArgumentException when a byte of it is not in memory shared with the device
   */
  public final long deviceAddress(long host, long bytes) {
    Table now = table;
    int found = now.find(host, bytes);
    if (found >= 0) {
      return now.device[found] + host - now.host[found];
    }
    throw new IllegalArgumentException(
        String.format("0x%x (%d bytes) is not in memory shared with the device", host, bytes));
  }
}
