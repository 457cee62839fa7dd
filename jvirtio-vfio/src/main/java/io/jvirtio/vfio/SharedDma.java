// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.Mapping;
import io.jvirtio.linux.Memfd;
import io.jvirtio.linux.Seal;
import io.jvirtio.memory.DriverMemory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Memory shared with a server: memfds, each told by a DMA_MAP with its descriptor. */
final class SharedDma extends DriverMemory implements AutoCloseable {
  private static final long FIRST_ADDRESS = 1L << 32;
  // A huge page; also the gap between two regions, which belongs to nobody.
  private static final long UNIT = 2 << 20;
  private static final long LEAST = 16 << 20;
  private static final int READ_WRITE = 3;
  private static final int MAP_SIZE = 32;

  private final ServerLink link;
  private final List<Mapping> mappings = new ArrayList<>();
  private long next = FIRST_ADDRESS;
  private long total;
  private boolean closed;

  SharedDma(ServerLink link) {
    this.link = link;
  }

  // Doubles, because a server may take few regions.
  @Override
  protected Region grow(long bytes) throws IOException {
    long size = Math.max(bytes, Math.max(LEAST, total)) + UNIT - 1 & -UNIT;
    if (size <= 0 || next + size + UNIT < 0 || closed) {
      throw new IOException("no room for " + bytes + " bytes in memory shared with " + link);
    }
    long address = next;
    byte[] map = new byte[MAP_SIZE];
    ByteBuffer.wrap(map)
        .order(ByteOrder.nativeOrder())
        .putInt(MAP_SIZE)
        .putInt(READ_WRITE)
        .putLong(0)
        .putLong(address)
        .putLong(size);
    // Nobody but this side may change its size, and nobody at all its seals.
    try (Fd file = Memfd.create("virtio-driver", size, Seal.SHRINK, Seal.GROW, Seal.SEAL)) {
      Mapping mapping = Mapping.shared(file, 0, size);
      boolean done = false;
      try {
        link.call(VfioUserCommand.DMA_MAP, map, 0, file.value());
        done = true;
      } finally {
        if (!done) {
          mapping.close();
        }
      }
      mappings.add(mapping);
      next += size + UNIT;
      total += size;
      return new Region(mapping.segment(), address);
    }
  }

  /** Unmaps it here; nobody may touch it any more. */
  @Override
  public void close() {
    synchronized (this) {
      closed = true;
      mappings.forEach(Mapping::close);
      mappings.clear();
    }
  }
}
