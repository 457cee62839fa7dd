// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.Mapping;
import io.jvirtio.linux.Memfd;
import io.jvirtio.linux.Seal;
import io.jvirtio.memory.DriverMemory;
import java.io.IOException;

/**
 * Memory shared with a back-end: memfds, each mapped once here and once there.
 *
 * <p>Guest addresses are chosen here and have nothing to do with user addresses, so that whoever
 * takes the one for the other is found out.
 */
final class FrontEndMemory extends DriverMemory {
  private static final long FIRST_GUEST_ADDRESS = 1L << 32;
  // A huge page; also the gap between two regions, which belongs to nobody.
  private static final long UNIT = 2 << 20;

  /** One region, with its file. */
  record Slot(FrontEndMessage.Region region, Mapping mapping, Fd file) {}

  /** Takes over regions, and tells the back-end of them. */
  @FunctionalInterface
  interface Keeper {
    void add(Slot slot) throws IOException;
  }

  private final VhostUserFrontEndOptions options;
  private final Keeper keeper;
  private long nextGuestAddress = FIRST_GUEST_ADDRESS;
  private long total;

  FrontEndMemory(VhostUserFrontEndOptions options, Keeper keeper) {
    this.options = options;
    this.keeper = keeper;
  }

  // As many regions as there may be (eight at worst) go a long way when each doubles what is there.
  @Override
  protected Region grow(long bytes) throws IOException {
    long least = total == 0 ? options.memorySize() : Math.max(options.memoryGrowth(), total);
    long size = Math.max(bytes, least) + (UNIT - 1) & -UNIT;
    if (size <= 0 || nextGuestAddress + size + UNIT < 0) {
      throw new IOException("no room for " + bytes + " bytes in memory shared with the device");
    }
    // Nobody but this side may change its size, and nobody at all its seals.
    Fd file = Memfd.create("virtio-driver", size, Seal.SHRINK, Seal.GROW, Seal.SEAL);
    Mapping mapping = null;
    boolean done = false;
    try {
      mapping = Mapping.shared(file, 0, size);
      FrontEndMessage.Region region =
          new FrontEndMessage.Region(nextGuestAddress, size, mapping.address(), 0);
      keeper.add(new Slot(region, mapping, file));
      done = true;
    } finally {
      if (!done) {
        if (mapping != null) {
          mapping.close();
        }
        file.close();
      }
    }
    total += size;
    Region result = new Region(mapping.segment(), nextGuestAddress);
    nextGuestAddress += size + UNIT;
    return result;
  }
}
