// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/**
 * Memory that driver and device share because they share a process.
 *
 * <p>Its device addresses are as unlike host addresses as a virtual machine's are: far from them,
 * above 4 GiB, and with gaps between the regions. So what mixes them up, cuts one off, or runs over
 * the end of a region, fails here.
 *
 * <p>It is freed by the garbage collector once neither side refers to it: what a driver still holds
 * after its transport was closed stays valid.
 */
final class InProcessMemory extends DriverMemory {
  /** Tells the device of all memory there is, the new region included. */
  @FunctionalInterface
  interface Publisher {
    void publish(GuestMemory memory) throws IOException;
  }

  private static final long PAGE = 4096;
  private static final long BASE = 0x12_0000_0000L;
  private static final long GAP = 1 << 20;

  private final Arena arena = Arena.ofAuto();
  private final long regionBytes;
  private final Publisher publisher;
  private long next = BASE;

  InProcessMemory(long regionBytes, Publisher publisher) {
    this.regionBytes = regionBytes;
    this.publisher = publisher;
  }

  @Override
  protected Region grow(long bytes) throws IOException {
    long size = (Math.max(bytes, regionBytes) + PAGE - 1) & -PAGE;
    Region region;
    try {
      region = new Region(arena.allocate(size, PAGE), next);
    } catch (OutOfMemoryError e) {
      throw new IOException("no memory for a region of " + size + " bytes", e);
    }
    List<MemoryRegion> all = new ArrayList<>();
    regions().forEach(r -> all.add(describe(r)));
    all.add(describe(region));
    publisher.publish(GuestMemory.of(all));
    next += size + GAP;
    return region;
  }

  private static MemoryRegion describe(Region region) {
    return new MemoryRegion(
        region.deviceAddress(), region.segment().byteSize(), region.segment().address());
  }
}
