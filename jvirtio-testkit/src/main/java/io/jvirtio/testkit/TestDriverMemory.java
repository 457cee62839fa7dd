// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.DriverMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Memory for tests of drivers, shared with a device in the same process. Device addresses have
 * nothing to do with those of this process, and regions lie far apart, so that a mix-up of the two
 * shows.
 *
 * <p>Both sides reach it by its absolute address, which no arena protects: {@link #close} only once
 * nobody uses it any more. Thread-safe, as {@link DriverMemory} is.
 */
public final class TestDriverMemory extends DriverMemory implements AutoCloseable {
  /** Where the first region begins, unless told otherwise. */
  public static final long FIRST_DEVICE_ADDRESS = 0x10_0000_0000L;

  private static final long PAGE = 4096;
  private static final long DEFAULT_REGION = 1 << 20;

  private final Arena arena = Arena.ofShared();
  private final long regionBytes;
  private long left = Long.MAX_VALUE;
  private long nextDeviceAddress;

  /** Regions of 1 MiB, or as much as is asked for at once, as many as the system has. */
  public TestDriverMemory() {
    this(DEFAULT_REGION, FIRST_DEVICE_ADDRESS);
  }

  /**
   * With regions of a certain size.
   *
   * @param regionBytes the least size of a region, a multiple of 4096
   * @param firstDeviceAddress where the device sees the first region, a multiple of 4096, unsigned
   */
  public TestDriverMemory(long regionBytes, long firstDeviceAddress) {
    if (regionBytes <= 0 || regionBytes % PAGE != 0 || firstDeviceAddress % PAGE != 0) {
      throw new IllegalArgumentException(
          String.format("regions of %d bytes from 0x%x on", regionBytes, firstDeviceAddress));
    }
    this.regionBytes = regionBytes;
    this.nextDeviceAddress = firstDeviceAddress;
  }

  /**
   * Lets it grow by so much more and no further: then allocation fails with {@link IOException}.
   *
   * @param bytes of all further regions together, 0 or more
   */
  public synchronized TestDriverMemory limit(long bytes) {
    left = bytes;
    return this;
  }

  @Override
  protected Region grow(long bytes) throws IOException {
    long size = Math.max(regionBytes, (bytes + PAGE - 1) & -PAGE);
    if (size > left) {
      throw new IOException("the test allows no region of " + size + " bytes, only " + left);
    }
    left -= size;
    Region region = new Region(arena.allocate(size, PAGE), nextDeviceAddress);
    // A page between any two: what passes the end of a region is in none.
    nextDeviceAddress += size + PAGE;
    return region;
  }

  /**
   * What stands at a device address, in one piece.
   *
   * @throws IllegalArgumentException when it is not inside one region
   */
  public MemorySegment slice(long deviceAddress, long bytes) {
    return RawRing.slice(this, deviceAddress, bytes);
  }

  /** Frees everything. Neither driver nor device may use it any more. */
  @Override
  public void close() {
    arena.close();
  }
}
