// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.Mapping;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import java.util.ArrayList;
import java.util.List;

/**
 * The memory that a front-end shares: an immutable table of mapped regions, each with a guest and a
 * user address ("Memory access").
 *
 * <p>A change makes a new table; the session unmaps what the old one alone held once every queue
 * has let go of it.
 */
final class VhostMemory {
  /**
   * How many regions there can be with CONFIGURE_MEM_SLOTS: what QEMU's own library allows, and
   * more than any guest of QEMU has.
   */
  static final int MAX_SLOTS = 509;

  static final VhostMemory EMPTY = new VhostMemory(List.of(), GuestMemory.EMPTY);

  private record Slot(FrontEndMessage.Region region, Mapping mapping) {}

  private final List<Slot> slots;
  private final GuestMemory guest;

  private VhostMemory(List<Slot> slots, GuestMemory guest) {
    this.slots = slots;
    this.guest = guest;
  }

  /** The snapshot for the device host. */
  GuestMemory guest() {
    return guest;
  }

  /**
   * Maps a whole table.
   *
   * @param fds one for each region; they stay the caller's
   * @throws ProtocolFault when regions overlap or do not fit their files; nothing is left mapped
   */
  static VhostMemory map(List<FrontEndMessage.Region> regions, List<Fd> fds) throws ProtocolFault {
    VhostMemory table = EMPTY;
    boolean done = false;
    try {
      for (int i = 0; i < regions.size(); i++) {
        table = table.add(regions.get(i), fds.get(i));
      }
      done = true;
      return table;
    } finally {
      if (!done) {
        table.unmapAllBut(EMPTY);
      }
    }
  }

  /** This table and one region more. */
  VhostMemory add(FrontEndMessage.Region region, Fd fd) throws ProtocolFault {
    if (slots.size() >= MAX_SLOTS) {
      throw new ProtocolFault("more than " + MAX_SLOTS + " memory regions");
    }
    for (Slot slot : slots) {
      long apart = region.userAddress() - slot.region.userAddress();
      if (Long.compareUnsigned(apart, slot.region.size()) < 0
          || Long.compareUnsigned(-apart, region.size()) < 0) {
        throw new ProtocolFault(
            String.format("memory regions overlap at user address 0x%x", region.userAddress()));
      }
    }
    Mapping mapping;
    try {
      mapping = Mapping.shared(fd, region.mmapOffset(), region.size());
    } catch (LinuxException e) {
      throw new ProtocolFault("memory region cannot be mapped: " + e.getMessage());
    }
    List<Slot> more = new ArrayList<>(slots);
    more.add(new Slot(region, mapping));
    try {
      return table(more);
    } catch (IllegalArgumentException e) {
      mapping.close();
      throw new ProtocolFault(e.getMessage());
    }
  }

  /** This table without the region of these addresses and this size; the offset does not count. */
  VhostMemory remove(FrontEndMessage.Region region) throws ProtocolFault {
    List<Slot> fewer = new ArrayList<>(slots);
    boolean found =
        fewer.removeIf(
            slot ->
                slot.region.guestAddress() == region.guestAddress()
                    && slot.region.userAddress() == region.userAddress()
                    && slot.region.size() == region.size());
    if (!found) {
      throw new ProtocolFault(
          String.format("no memory region at 0x%x to remove", region.guestAddress()));
    }
    return table(fewer);
  }

  private static VhostMemory table(List<Slot> slots) {
    List<MemoryRegion> regions = new ArrayList<>();
    for (Slot slot : slots) {
      regions.add(
          new MemoryRegion(slot.region.guestAddress(), slot.region.size(), slot.mapping.address()));
    }
    return new VhostMemory(List.copyOf(slots), GuestMemory.of(regions));
  }

  /** Whether a user address lies in a region. */
  boolean holdsUser(long userAddress) {
    return slotOf(userAddress) != null;
  }

  /**
   * The guest address for a user address, which a region must hold. What lies behind it is checked
   * when the ring is opened.
   */
  long guestOfUser(long userAddress) {
    Slot slot = slotOf(userAddress);
    return slot.region.guestAddress() + (userAddress - slot.region.userAddress());
  }

  private Slot slotOf(long userAddress) {
    for (Slot slot : slots) {
      long offset = userAddress - slot.region.userAddress();
      if (Long.compareUnsigned(offset, slot.region.size()) < 0) {
        return slot;
      }
    }
    return null;
  }

  /** Unmaps every region that {@code kept} does not hold. Nobody may use them any more. */
  void unmapAllBut(VhostMemory kept) {
    for (Slot slot : slots) {
      boolean shared = kept.slots.stream().anyMatch(other -> other.mapping == slot.mapping);
      if (!shared) {
        slot.mapping.close();
      }
    }
  }
}
