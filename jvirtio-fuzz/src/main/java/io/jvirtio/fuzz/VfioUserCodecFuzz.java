// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.vfio.ClientMessage;
import io.jvirtio.vfio.CommandRefused;
import io.jvirtio.vfio.ProtocolFault;
import io.jvirtio.vfio.VfioUserCodec;
import java.nio.ByteBuffer;

/**
 * Fuzz target: the messages of a vfio-user client. The input is a sequence of messages, each behind
 * one byte for the number of descriptors that come along. What is wrong must be a {@link
 * ProtocolFault} or a {@link CommandRefused}; what is decoded must be in the ranges that its type
 * promises.
 */
public final class VfioUserCodecFuzz {
  private VfioUserCodecFuzz() {}

  /** The entry that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) {
    ByteBuffer in = ByteBuffer.wrap(input);
    try {
      while (in.remaining() > VfioUserCodec.HEADER_SIZE) {
        int fds = in.get() & 0x1f;
        VfioUserCodec.Header header = VfioUserCodec.header(take(in, VfioUserCodec.HEADER_SIZE));
        require(header.size() >= 0 && header.size() <= VfioUserCodec.MAX_PAYLOAD, header);
        if (header.size() > in.remaining()) {
          return;
        }
        payload(header, take(in, header.size()), fds);
      }
    } catch (ProtocolFault fault) {
      require(!fault.getMessage().isEmpty(), fault);
    }
  }

  private static void payload(VfioUserCodec.Header header, ByteBuffer payload, int fds) {
    try {
      check(VfioUserCodec.payload(header, payload, fds), fds);
    } catch (CommandRefused refused) {
      require(refused.errno() > 0 && !refused.getMessage().isEmpty(), refused);
    }
  }

  private static ByteBuffer take(ByteBuffer in, int bytes) {
    ByteBuffer part = in.slice(in.position(), bytes);
    in.position(in.position() + bytes);
    return part;
  }

  private static void require(boolean condition, Object what) {
    if (!condition) {
      throw new AssertionError(what.toString());
    }
  }

  private static void check(ClientMessage message, int fds) {
    boolean right =
        switch (message) {
          case ClientMessage.Version version ->
              version.major() >>> 16 == 0 && version.minor() >>> 16 == 0;
          case ClientMessage.DmaMap map ->
              map.size() > 0
                  && !wraps(map.address(), map.size())
                  && map.offset() >= 0
                  && map.offset() + map.size() > 0
                  && map.hasFd() == (fds == 1)
                  && fds <= 1;
          case ClientMessage.DmaUnmap unmap ->
              unmap.all()
                  ? unmap.address() == 0 && unmap.size() == 0
                  : unmap.size() != 0 && !wraps(unmap.address(), unmap.size());
          case ClientMessage.RegionInfo info -> isRegion(info.index());
          case ClientMessage.RegionIoFds info -> isRegion(info.index());
          case ClientMessage.IrqInfo info -> isIrqType(info.index());
          case ClientMessage.SetIrqs set -> isRight(set, fds);
          case ClientMessage.RegionRead read ->
              isAccess(read.offset(), read.region(), read.count(), VfioUserCodec.MAX_TRANSFER);
          case ClientMessage.RegionWrite write -> isRight(write, VfioUserCodec.MAX_TRANSFER);
          case ClientMessage.RegionWriteMulti multi ->
              multi.writes().stream().allMatch(write -> isRight(write, 8));
          case ClientMessage.DeviceInfo info -> fds == 0;
          case ClientMessage.Reset reset -> fds == 0;
        };
    require(right, message + " with " + fds);
  }

  private static boolean isRight(ClientMessage.SetIrqs set, int fds) {
    boolean eventFd = set.data() == ClientMessage.IrqData.EVENTFD;
    boolean all =
        set.data() == ClientMessage.IrqData.NONE
            && set.action() == ClientMessage.IrqAction.TRIGGER
            && set.start() == 0;
    return isIrqType(set.index())
        && set.start() >= 0
        && set.start() + set.count() >= set.start()
        && (set.count() > 0 || all)
        && set.fds() == fds
        && (fds == 0 || eventFd && fds == set.count())
        && (set.data() == ClientMessage.IrqData.BOOL
            ? set.chosen().length == set.count()
            : set.chosen() == null);
  }

  private static boolean isRight(ClientMessage.RegionWrite write, int max) {
    return isAccess(write.offset(), write.region(), write.data().limit(), max)
        && write.data().position() == 0;
  }

  private static boolean isAccess(long offset, int region, int count, int max) {
    return offset >= 0 && isRegion(region) && count > 0 && count <= max;
  }

  private static boolean isRegion(int index) {
    return index >= 0 && index < VfioUserCodec.REGIONS;
  }

  private static boolean isIrqType(int index) {
    return index >= 0 && index < VfioUserCodec.IRQ_TYPES;
  }

  private static boolean wraps(long address, long size) {
    return Long.compareUnsigned(address + size - 1, address) < 0;
  }
}
