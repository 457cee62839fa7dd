// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Guest memory for tests: regions at any guest-physical address, with gaps between them, next to
 * each other, or mapped at a misaligned host address.
 *
 * <p>Made of native segments, without restricted calls. The driver side reads and writes it by
 * guest address; the device side gets a {@link #snapshot}. A device reaches the memory by its
 * absolute address, which no arena protects: {@link #close} only once no device uses it any more.
 *
 * <p>{@link #allocate} and {@link #release} are for one thread; everything else may be called on
 * any.
 */
public final class TestMemory implements AutoCloseable {
  private static final long HOST_ALIGNMENT = 4096;

  /** Where the upper region of {@link #standard} begins. */
  public static final long STANDARD_UPPER = 0x4000_0000L;

  private final Arena arena;
  private final List<MemoryRegion> regions;
  private final List<MemorySegment> segments;
  private final long[] allocated;

  private TestMemory(Arena arena, List<MemoryRegion> regions, List<MemorySegment> segments) {
    this.arena = arena;
    this.regions = List.copyOf(regions);
    this.segments = List.copyOf(segments);
    this.allocated = new long[regions.size()];
    for (int i = 0; i < allocated.length; i++) {
      // Nothing is ever put at guest address 0, which then shows a field that was never set.
      allocated[i] = this.regions.get(i).guestAddress() == 0 ? 64 : 0;
    }
  }

  /** Two regions with a gap: 1 MiB at 0, and 15 MiB at {@link #STANDARD_UPPER}. */
  public static TestMemory standard() {
    return builder().region(0, 1 << 20).region(STANDARD_UPPER, 15 << 20).build();
  }

  /** Starts with no region. */
  public static Builder builder() {
    return new Builder();
  }

  /** Collects regions. Not thread-safe. */
  public static final class Builder {
    private final Arena arena = Arena.ofShared();
    private final List<MemoryRegion> regions = new ArrayList<>();
    private final List<MemorySegment> segments = new ArrayList<>();

    private Builder() {}

    /**
     * Adds a region at a page boundary of the host. Regions next to each other in guest memory are
     * not next to each other in the host's.
     *
     * @param guestAddress guest-physical, unsigned
     * @param size bytes, positive
     */
    public Builder region(long guestAddress, long size) {
      return region(guestAddress, size, 0);
    }

    /**
     * Adds a region that is not aligned in the host.
     *
     * @param hostOffset how many bytes behind a page boundary it begins, 0 to 4095
     */
    public Builder region(long guestAddress, long size, int hostOffset) {
      // A page is left between any two, so that an access over the edge hits no other region.
      MemorySegment all = arena.allocate(size + hostOffset + HOST_ALIGNMENT, HOST_ALIGNMENT);
      return region(guestAddress, all.asSlice(hostOffset, size));
    }

    /** Adds memory of someone else, such as a mapped file; it must stay mapped. */
    public Builder region(long guestAddress, MemorySegment memory) {
      regions.add(new MemoryRegion(guestAddress, memory.byteSize(), memory.address()));
      segments.add(memory);
      return this;
    }

    /** The memory, zeroed where it is not someone else's. */
    public TestMemory build() {
      return new TestMemory(arena, regions, segments);
    }
  }

  /** What a device is given. */
  public GuestMemory snapshot() {
    return GuestMemory.of(regions);
  }

  /** The regions, in the order in which they were added. */
  public List<MemoryRegion> regions() {
    return regions;
  }

  /** The memory of one region. */
  public MemorySegment segment(int region) {
    return segments.get(region);
  }

  /**
   * Memory that was not handed out before, in one region. It is not zeroed when it was released in
   * between.
   *
   * @param bytes 0 or more
   * @param alignment of the guest address, a power of two
   * @return the guest address
   * @throws IllegalStateException when no region has room
   */
  public long allocate(long bytes, long alignment) {
    for (int i = 0; i < allocated.length; i++) {
      long guest = regions.get(i).guestAddress();
      long start = ((guest + allocated[i] + alignment - 1) & -alignment) - guest;
      if (start + bytes <= regions.get(i).size()) {
        allocated[i] = start + bytes;
        return guest + start;
      }
    }
    throw new IllegalStateException("no region has " + bytes + " bytes left");
  }

  /** What is allocated now, for {@link #release}. */
  public long[] mark() {
    return allocated.clone();
  }

  /** Gives back everything that was allocated since the mark was taken. */
  public void release(long[] mark) {
    System.arraycopy(mark, 0, allocated, 0, allocated.length);
  }

  /**
   * Memory at a guest address, in one piece.
   *
   * @throws IllegalArgumentException when it is not inside one region
   */
  public MemorySegment slice(long guestAddress, long bytes) {
    int region = regionOf(guestAddress);
    if (region < 0 || remaining(region, guestAddress) < bytes) {
      throw new IllegalArgumentException(
          String.format("0x%x bytes at 0x%x are not in one region", bytes, guestAddress));
    }
    return segments.get(region).asSlice(guestAddress - regions.get(region).guestAddress(), bytes);
  }

  /** Copies bytes into guest memory; they may cross the edges of regions. */
  public void write(long guestAddress, byte[] source) {
    int done = 0;
    while (done < source.length) {
      int step = step(guestAddress + done, source.length - done);
      MemorySegment.copy(
          source, done, slice(guestAddress + done, step), ValueLayout.JAVA_BYTE, 0, step);
      done += step;
    }
  }

  /** Copies bytes out of guest memory; they may cross the edges of regions. */
  public byte[] read(long guestAddress, int length) {
    byte[] target = new byte[length];
    int done = 0;
    while (done < length) {
      int step = step(guestAddress + done, length - done);
      MemorySegment.copy(
          slice(guestAddress + done, step), ValueLayout.JAVA_BYTE, 0, target, done, step);
      done += step;
    }
    return target;
  }

  /** Sets bytes to one value; they may cross the edges of regions. */
  public void fill(long guestAddress, int length, int value) {
    byte[] bytes = new byte[length];
    Arrays.fill(bytes, (byte) value);
    write(guestAddress, bytes);
  }

  private int step(long guestAddress, int wanted) {
    int region = regionOf(guestAddress);
    if (region < 0) {
      throw new IllegalArgumentException(
          String.format("0x%x is outside guest memory", guestAddress));
    }
    return (int) Math.min(wanted, remaining(region, guestAddress));
  }

  private int regionOf(long guestAddress) {
    for (int i = 0; i < regions.size(); i++) {
      long offset = guestAddress - regions.get(i).guestAddress();
      if (Long.compareUnsigned(offset, regions.get(i).size()) < 0) {
        return i;
      }
    }
    return -1;
  }

  private long remaining(int region, long guestAddress) {
    return regions.get(region).size() - (guestAddress - regions.get(region).guestAddress());
  }

  /** Frees the memory. No device may use it any more. */
  @Override
  public void close() {
    arena.close();
  }
}
