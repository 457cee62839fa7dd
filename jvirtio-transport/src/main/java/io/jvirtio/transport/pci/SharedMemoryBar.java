// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.device.SharedMemory;
import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.List;

/**
 * A BAR with the shared memory regions of a device, each on pages of its own, one behind the other.
 * Thread-safe.
 */
final class SharedMemoryBar implements RegisterWindow {
  private static final long PAGE = 4096;
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final MemorySegment[] regions;
  private final long[] offsets;
  private final long size;
  private final AccessCounters counters;

  SharedMemoryBar(List<SharedMemory> all, AccessCounters counters) {
    this.counters = counters;
    this.regions = new MemorySegment[all.size()];
    this.offsets = new long[all.size()];
    long end = 0;
    for (int i = 0; i < regions.length; i++) {
      int id = all.get(i).id();
      if (all.stream().filter(region -> region.id() == id).count() != 1) {
        throw new IllegalArgumentException("two shared memory regions " + id);
      }
      regions[i] = all.get(i).memory();
      offsets[i] = end;
      end += Math.addExact(regions[i].byteSize(), PAGE - 1) & -PAGE;
    }
    this.size = Long.highestOneBit(2 * end - 1);
  }

  /** Where a region begins, in bytes. */
  long offset(int region) {
    return offsets[region];
  }

  @Override
  public long size() {
    return size;
  }

  private int find(long offset, int width) {
    for (int i = 0; RegisterWindow.isWidth(width) && i < regions.length; i++) {
      if (offset >= offsets[i] && offset - offsets[i] <= regions[i].byteSize() - width) {
        return i;
      }
    }
    return -1;
  }

  @Override
  public long read(long offset, int width) {
    int region = find(offset, width);
    if (region < 0) {
      counters.ignoredRead();
      return 0;
    }
    long at = offset - offsets[region];
    return switch (width) {
      case 1 -> regions[region].get(ValueLayout.JAVA_BYTE, at) & 0xff;
      case 2 -> regions[region].get(SHORT, at) & 0xffff;
      case 4 -> regions[region].get(INT, at) & 0xffff_ffffL;
      default -> regions[region].get(LONG, at);
    };
  }

  @Override
  public void write(long offset, int width, long value) {
    int region = find(offset, width);
    if (region < 0) {
      counters.ignoredWrite();
      return;
    }
    long at = offset - offsets[region];
    switch (width) {
      case 1 -> regions[region].set(ValueLayout.JAVA_BYTE, at, (byte) value);
      case 2 -> regions[region].set(SHORT, at, (short) value);
      case 4 -> regions[region].set(INT, at, (int) value);
      default -> regions[region].set(LONG, at, value);
    }
  }
}
