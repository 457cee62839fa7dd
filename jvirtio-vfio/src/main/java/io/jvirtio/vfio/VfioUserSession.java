// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.Fd;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.pci.PciBar;
import io.jvirtio.transport.pci.PciFunction;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;

/**
 * The function as one client sees it: translates commands into accesses of the {@link PciFunction}.
 *
 * <p>Control thread only.
 */
final class VfioUserSession {
  private static final Logger LOG = System.getLogger(VfioUserSession.class.getName());

  private static final int MINOR = 0;
  private static final int DEVICE_FLAGS = 3; // can be reset; PCI
  private static final int REGION_FLAGS = 3; // read, write

  /** What this server can do: nothing but the protocol's defaults and more descriptors. */
  private static final Capabilities CAPABILITIES =
      new Capabilities(
          (long) VfioUserCodec.MAX_FDS,
          (long) VfioUserCodec.MAX_TRANSFER,
          (long) DmaTable.MAX_REGIONS,
          4096L,
          true);

  /** How long DEVICE_RESET may take: QEMU waits for a reply for five seconds. */
  private static final Duration RESET_PATIENCE = Duration.ofSeconds(4);

  /** How long the last reset may: a queue that has not stopped by then does not stop. */
  private static final Duration END_PATIENCE = Duration.ofSeconds(60);

  private final PciFunction function;
  private final ClientInterrupts interrupts;
  private final RegisterWindow[] windows = new RegisterWindow[VfioUserCodec.REGIONS];
  private final DmaTable dma = new DmaTable();
  private final ClientLink link;
  private final Mirrors mirrors;
  private GuestMemory memory = GuestMemory.EMPTY;
  private DmaChannel channel;
  private boolean negotiated;
  private long accesses;

  VfioUserSession(
      PciFunction function, ClientInterrupts interrupts, Mirrors mirrors, ClientLink link) {
    this.mirrors = mirrors;
    this.link = link;
    this.function = function;
    this.interrupts = interrupts;
    for (PciBar bar : function.bars()) {
      if (bar != null) {
        windows[bar.index()] = bar.window();
      }
    }
    windows[VfioUserCodec.CONFIG_REGION] = function.config();
  }

  /** Reads and writes of registers since the last call. */
  long takeAccesses() {
    long taken = accesses;
    accesses = 0;
    return taken;
  }

  /**
   * Does what a command says.
   *
   * @param payload its payload, of which nothing is kept
   * @param fds its descriptors; what the session keeps is taken out of the list by it
   * @return the reply, from its start to its position
   * @throws ProtocolFault when the connection must end
   * @throws CommandRefused when the command is to be answered with an error
   */
  ByteBuffer handle(VfioUserCodec.Header header, ByteBuffer payload, List<Fd> fds)
      throws ProtocolFault, CommandRefused {
    if (negotiated == (header.command() == VfioUserCommand.VERSION)) {
      throw new ProtocolFault(header + (negotiated ? " again" : " before VERSION"));
    }
    ClientMessage message = VfioUserCodec.payload(header, payload, fds.size());
    LOG.log(Level.TRACE, "{0}", message);
    return switch (message) {
      case ClientMessage.Version version -> version(header, version);
      case ClientMessage.DmaMap map -> dmaMap(header, map, fds);
      case ClientMessage.DmaUnmap unmap -> dmaUnmap(header, unmap);
      case ClientMessage.DeviceInfo info ->
          VfioUserCodec.reply(header, 16)
              .putInt(16)
              .putInt(DEVICE_FLAGS)
              .putInt(VfioUserCodec.REGIONS)
              .putInt(VfioUserCodec.IRQ_TYPES);
      case ClientMessage.RegionInfo info -> regionInfo(header, info.index());
      case ClientMessage.RegionIoFds info ->
          // An optional feature: there is no part of any region with a descriptor.
          VfioUserCodec.reply(header, 16).putInt(16).putInt(0).putInt(info.index()).putInt(0);
      case ClientMessage.IrqInfo info ->
          VfioUserCodec.reply(header, 16)
              .putInt(16)
              .putInt(interrupts.flags(info.index()))
              .putInt(info.index())
              .putInt(interrupts.count(info.index()));
      case ClientMessage.SetIrqs set -> {
        interrupts.set(set, fds);
        yield VfioUserCodec.reply(header, 0);
      }
      case ClientMessage.RegionRead read -> read(header, read);
      case ClientMessage.RegionWrite write -> {
        write(write);
        yield VfioUserCodec.reply(header, VfioUserCodec.ACCESS_SIZE)
            .putLong(write.offset())
            .putInt(write.region())
            .putInt(write.data().limit());
      }
      case ClientMessage.RegionWriteMulti multi -> {
        for (ClientMessage.RegionWrite write : multi.writes()) {
          window(write.region(), write.offset(), write.data().limit());
        }
        for (ClientMessage.RegionWrite write : multi.writes()) {
          write(write);
        }
        yield VfioUserCodec.reply(header, 8).putLong(multi.writes().size());
      }
      case ClientMessage.Reset reset -> {
        if (!reset(RESET_PATIENCE)) {
          throw new CommandRefused(Errno.EBUSY, "the device is still being reset");
        }
        yield VfioUserCodec.reply(header, 0);
      }
    };
  }

  private ByteBuffer version(VfioUserCodec.Header header, ClientMessage.Version version)
      throws ProtocolFault {
    if (version.major() != 0) {
      throw new ProtocolFault("version " + version.major() + "." + version.minor());
    }
    negotiated = true;
    Long most = version.capabilities().maxDataXferSize();
    channel = new DmaChannel(link, most == null ? VfioUserCodec.MAX_TRANSFER : most);
    mirrors.connect(channel);
    LOG.log(Level.DEBUG, "client: {0}", version);
    byte[] text =
        CAPABILITIES.onlyNamedBy(version.capabilities()).text().getBytes(StandardCharsets.UTF_8);
    return VfioUserCodec.reply(header, 4 + text.length + 1)
        .putShort((short) 0)
        .putShort((short) MINOR)
        .put(text)
        .put((byte) 0);
  }

  /** A command or a reply has come: as {@link #handle}, but null for a reply. */
  ByteBuffer receive(VfioUserCodec.Header header, ByteBuffer payload, List<Fd> fds)
      throws ProtocolFault, CommandRefused {
    if (header.reply()) {
      if (channel == null) {
        throw new ProtocolFault(header + " answers nothing");
      }
      channel.reply(header, payload);
      return null;
    }
    boolean mirrored = mirrors.isUsed();
    if (mirrored) {
      channel.enter();
    }
    try {
      return handle(header, payload, fds);
    } finally {
      if (mirrored) {
        channel.leave();
      }
    }
  }

  // --- memory --------------------------------------------------------------------------------

  private ByteBuffer dmaMap(VfioUserCodec.Header header, ClientMessage.DmaMap map, List<Fd> fds)
      throws CommandRefused {
    dma.add(map, map.hasFd() ? fds.getFirst() : null);
    boolean wasMirrored = mirrors.isUsed();
    mirrors.setMap(dma.mirrors());
    GuestMemory next = dma.guest();
    if (wasMirrored && !mirrors.isUsed()) {
      function.setMemory(next);
    } else if (next.regionCount() != memory.regionCount()) {
      function.growMemory(next);
    }
    memory = next;
    return VfioUserCodec.reply(header, 0);
  }

  private ByteBuffer dmaUnmap(VfioUserCodec.Header header, ClientMessage.DmaUnmap unmap)
      throws CommandRefused {
    letGo(dma.remove(unmap));
    return VfioUserCodec.reply(header, 24)
        .putInt(24)
        .putInt(unmap.flags())
        .putLong(unmap.address())
        .putLong(unmap.size());
  }

  /** Unmaps what is no longer in the table, once the device has let go of it. */
  private void letGo(List<DmaTable.Region> removed) {
    GuestMemory left = dma.guest();
    if (dma.isBacked(removed) || left.regionCount() != memory.regionCount()) {
      if (!function.setMemory(left)) {
        // Something is still in flight into this memory: it stays mapped rather than being pulled
        // away.
        LOG.log(Level.ERROR, "{0} regions of memory stay mapped", removed.size());
        return;
      }
      memory = left;
    }
    mirrors.setMap(dma.mirrors());
    dma.unmap(removed);
  }

  // --- registers -----------------------------------------------------------------------------

  private ByteBuffer regionInfo(VfioUserCodec.Header header, int index) {
    RegisterWindow window = windows[index];
    return VfioUserCodec.reply(header, 32)
        .putInt(32)
        .putInt(window == null ? 0 : REGION_FLAGS)
        .putInt(index)
        .putInt(0)
        .putLong(window == null ? 0 : window.size())
        .putLong(0);
  }

  private RegisterWindow window(int region, long offset, int count) throws CommandRefused {
    RegisterWindow window = windows[region];
    if (window == null || count > window.size() || offset > window.size() - count) {
      throw new CommandRefused(
          Errno.EINVAL, String.format("region %d has no %d bytes at 0x%x", region, count, offset));
    }
    return window;
  }

  /** Registers have widths: what is none of them is done in aligned pieces. */
  private static int width(long offset, int left) {
    if (left == 1 || left == 2 || left == 4 || left == 8) {
      return left;
    }
    int aligned = (int) Math.min(4, Long.lowestOneBit(offset | 4));
    return Math.min(aligned, Integer.highestOneBit(left));
  }

  private ByteBuffer read(VfioUserCodec.Header header, ClientMessage.RegionRead read)
      throws CommandRefused {
    RegisterWindow window = window(read.region(), read.offset(), read.count());
    accesses++;
    ByteBuffer reply =
        VfioUserCodec.reply(header, VfioUserCodec.ACCESS_SIZE + read.count())
            .putLong(read.offset())
            .putInt(read.region())
            .putInt(read.count())
            .order(ByteOrder.LITTLE_ENDIAN);
    long at = read.offset();
    int left = read.count();
    try {
      while (left > 0) {
        int width = width(at, left);
        long value = window.read(at, width);
        if (width == 4 && mirrors.isUsed()) {
          value = MirrorRegisters.offered(window, read.region(), at, value);
        }
        for (int i = 0; i < width; i++) {
          reply.put((byte) (value >>> 8 * i));
        }
        at += width;
        left -= width;
      }
    } catch (IOException e) {
      throw new CommandRefused(Errno.EIO, e.getMessage());
    }
    return reply;
  }

  private void write(ClientMessage.RegionWrite write) throws CommandRefused {
    ByteBuffer data = write.data();
    int left = data.limit();
    RegisterWindow window = window(write.region(), write.offset(), left);
    accesses++;
    if (mirrors.isUsed()) {
      MirrorRegisters.note(mirrors, window, write);
      mirrors.kicked();
    }
    int from = 0;
    try {
      while (left > 0) {
        int width = width(write.offset() + from, left);
        long value = 0;
        for (int i = 0; i < width; i++) {
          value |= (data.get(from + i) & 0xffL) << 8 * i;
        }
        window.write(write.offset() + from, width, value);
        from += width;
        left -= width;
      }
    } catch (IOException e) {
      throw new CommandRefused(Errno.EIO, e.getMessage());
    }
  }

  // --- reset and end -------------------------------------------------------------------------

  /** Resets the function; false when that takes longer. */
  private boolean reset(Duration patience) {
    function.reset();
    interrupts.forgetPending();
    long start = System.nanoTime();
    while (function.host().status() != 0) {
      if (System.nanoTime() - start > patience.toNanos()) {
        return false;
      }
      try {
        Thread.sleep(1);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return false;
      }
    }
    return true;
  }

  /**
   * Ends the session: descriptors closed, device reset, memory unmapped. The protocol would have
   * the state of the device stay, but its queues are in memory that is gone.
   */
  void close() {
    interrupts.release();
    if (channel != null) {
      channel.end();
    }
    reset(END_PATIENCE);
    letGo(dma.clear());
    mirrors.connect(null);
  }
}
