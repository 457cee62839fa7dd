// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.MapOption;
import io.jvirtio.linux.Mapping;
import io.jvirtio.linux.Memfd;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/**
 * The memory that a client has made reachable ("VFIO_USER_DMA_MAP"), by DMA address. Regions that
 * came with a file are mapped; of the others it is only known that they are there. Where nothing is
 * mapped at all, local memory takes the place of those that may be written.
 *
 * <p>Control thread only.
 */
final class DmaTable {
  /** The most regions at a time: more than any machine has without an IOMMU. */
  static final int MAX_REGIONS = 4096;

  /** The most bytes that are reserved in the place of memory that is not mapped. */
  private static final long MAX_MIRRORED = 1L << 40;

  /** The most regions in whose place there is other memory: RAM is in few pieces. */
  private static final int MAX_MIRRORS = 64;

  private static final Logger LOG = System.getLogger(DmaTable.class.getName());

  /** One DMA_MAP; no mapping where it came without a file. */
  record Region(long address, long size, boolean writable, Mapping mapping) {
    boolean isMapped() {
      return mapping != null;
    }

    boolean holds(long at) {
      return Long.compareUnsigned(at - address, size) < 0;
    }

    boolean isInside(long start, long bytes) {
      long lead = address - start;
      return Long.compareUnsigned(lead, bytes) < 0 && Long.compareUnsigned(size, bytes - lead) <= 0;
    }
  }

  private final NavigableMap<Long, Region> regions = new TreeMap<>(Long::compareUnsigned);
  private final Map<Region, Mapping> mirrors = new HashMap<>();

  int size() {
    return regions.size();
  }

  /**
   * Adds a region.
   *
   * @param fd its file, which stays the caller's; null when there is none
   * @throws CommandRefused when it overlaps another (EEXIST), there are too many (ENOSPC), or the
   *     file does not hold it or cannot be mapped; nothing has changed then
   */
  Region add(ClientMessage.DmaMap map, Fd fd) throws CommandRefused {
    if (regions.size() >= MAX_REGIONS) {
      throw new CommandRefused(Errno.ENOSPC, "more than " + MAX_REGIONS + " DMA regions");
    }
    Map.Entry<Long, Region> below = regions.floorEntry(map.address() + (map.size() - 1));
    if (below != null
        && (below.getValue().holds(map.address())
            || Long.compareUnsigned(below.getKey() - map.address(), map.size()) < 0)) {
      throw new CommandRefused(
          Errno.EEXIST, String.format("DMA region at 0x%x overlaps another", map.address()));
    }
    Mapping mapping = null;
    if (fd != null) {
      // What the device may not write is a copy as soon as it does: a mapping without permission
      // to write would end the process then.
      MapOption[] options =
          map.writable() ? new MapOption[] {} : new MapOption[] {MapOption.PRIVATE};
      try {
        mapping = Mapping.shared(fd, map.offset(), map.size(), options);
      } catch (LinuxException e) {
        throw new CommandRefused(e.errno(), "DMA region cannot be mapped: " + e.getMessage());
      }
    }
    Region region = new Region(map.address(), map.size(), map.writable(), mapping);
    regions.put(map.address(), region);
    return region;
  }

  /**
   * Takes away every region inside a range.
   *
   * @return those; their mappings are still there
   * @throws CommandRefused when the range cuts a region; nothing has changed then
   */
  List<Region> remove(ClientMessage.DmaUnmap unmap) throws CommandRefused {
    List<Region> removed = new ArrayList<>();
    if (unmap.all()) {
      removed.addAll(regions.values());
    } else {
      long last = unmap.address() + (unmap.size() - 1);
      Map.Entry<Long, Region> first = regions.floorEntry(unmap.address());
      if (first != null && first.getValue().holds(unmap.address())) {
        removed.add(first.getValue());
      }
      for (Region region : regions.subMap(unmap.address(), false, last, true).values()) {
        removed.add(region);
      }
      for (Region region : removed) {
        if (!region.isInside(unmap.address(), unmap.size())) {
          throw new CommandRefused(
              Errno.EINVAL, String.format("DMA_UNMAP at 0x%x cuts a region", unmap.address()));
        }
      }
    }
    removed.forEach(region -> regions.remove(region.address()));
    return removed;
  }

  /** Takes away everything. */
  List<Region> clear() {
    List<Region> removed = List.copyOf(regions.values());
    regions.clear();
    return removed;
  }

  /** Whether any region is mapped: then the device sees those alone. */
  private boolean isShared() {
    return regions.values().stream().anyMatch(Region::isMapped);
  }

  /** The snapshot for the device: what is mapped, or what is in its place. */
  GuestMemory guest() {
    boolean shared = isShared();
    List<MemoryRegion> mapped = new ArrayList<>();
    for (Region region : regions.values()) {
      Mapping mapping = shared ? region.mapping() : mirrors.get(region);
      if (mapping != null) {
        mapped.add(new MemoryRegion(region.address(), region.size(), mapping.address()));
      }
    }
    return GuestMemory.of(mapped);
  }

  /** What is in the place of memory that is not mapped. */
  MirrorMap mirrors() {
    if (isShared()) {
      return MirrorMap.NONE;
    }
    List<MirrorMap.Part> parts = new ArrayList<>();
    for (Region region : regions.values()) {
      Mapping mirror = region.writable() ? mirror(region) : null;
      if (mirror != null) {
        parts.add(new MirrorMap.Part(region.address(), mirror.segment()));
      }
    }
    return new MirrorMap(List.copyOf(parts));
  }

  private Mapping mirror(Region region) {
    Mapping mirror = mirrors.get(region);
    if (mirror != null || mirrors.size() == MAX_MIRRORS) {
      return mirror;
    }
    long reserved = mirrors.values().stream().mapToLong(Mapping::size).sum();
    if (region.size() > MAX_MIRRORED - reserved) {
      return null;
    }
    try (Fd file = Memfd.create("dma", region.size())) {
      mirror = Mapping.shared(file, 0, region.size());
      mirrors.put(region, mirror);
    } catch (LinuxException e) {
      LOG.log(
          Level.WARNING,
          String.format("nothing takes the place of memory at 0x%x", region.address()),
          e);
    }
    return mirror;
  }

  /** Whether there is memory of this process behind one of these. */
  boolean isBacked(List<Region> some) {
    return some.stream().anyMatch(region -> region.isMapped() || mirrors.containsKey(region));
  }

  /** Unmaps what belongs to regions that were taken away, and that nobody uses any more. */
  void unmap(List<Region> removed) {
    for (Region region : removed) {
      if (region.isMapped()) {
        region.mapping().close();
      }
      Mapping mirror = mirrors.remove(region);
      if (mirror != null) {
        mirror.close();
      }
    }
  }
}
