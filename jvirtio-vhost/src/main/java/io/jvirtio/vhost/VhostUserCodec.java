// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/**
 * Bytes to messages and back ("Message Specification"). Pure functions: every check happens here
 * before a message has an effect.
 *
 * <pre>
 *   +0 u32 request   +4 u32 flags (0-1 version, 2 reply, 3 need_reply)   +8 u32 size   +12 payload
 * </pre>
 */
public final class VhostUserCodec {
  /** Bytes of a header. */
  public static final int HEADER_SIZE = 12;

  /** The largest payload of any message that is understood here. */
  public static final int MAX_PAYLOAD = 4096;

  /** The largest device configuration space, by the protocol. */
  public static final int MAX_CONFIG_SIZE = 256;

  /** The most regions in one memory table. */
  public static final int MAX_TABLE_REGIONS = 8;

  /** In the payload of kick, call and err: there is no descriptor. */
  public static final int VRING_NOFD = 1 << 8;

  static final int VERSION = 1;
  static final int VERSION_MASK = 3;
  static final int FLAG_REPLY = 1 << 2;
  static final int FLAG_NEED_REPLY = 1 << 3;
  static final int REGION_SIZE = 32;
  static final int CONFIG_HEADER_SIZE = 12;

  /**
   * A checked header.
   *
   * @param request what it asks
   * @param needReply whether the front-end wants to know how it went
   * @param size bytes of the payload, 0 to {@link #MAX_PAYLOAD}
   */
  public record Header(VhostUserRequest request, boolean needReply, int size) {}

  private VhostUserCodec() {}

  /**
   * Decodes a header.
   *
   * @param bytes exactly {@link #HEADER_SIZE} bytes
   */
  public static Header header(ByteBuffer bytes) throws ProtocolFault {
    ByteBuffer in = bytes.duplicate().order(ByteOrder.nativeOrder());
    int id = in.getInt();
    int flags = in.getInt();
    int size = in.getInt();
    if ((flags & VERSION_MASK) != VERSION) {
      throw new ProtocolFault("message " + Integer.toUnsignedString(id) + " has version " + flags);
    }
    VhostUserRequest request = VhostUserRequest.of(id);
    if (request == null) {
      throw new ProtocolFault("unknown message " + Integer.toUnsignedString(id));
    }
    if ((flags & FLAG_REPLY) != 0) {
      throw new ProtocolFault(request + " is marked as a reply");
    }
    if (size < 0 || size > MAX_PAYLOAD) {
      throw new ProtocolFault(request + " claims " + Integer.toUnsignedString(size) + " bytes");
    }
    return new Header(request, (flags & FLAG_NEED_REPLY) != 0, size);
  }

  /**
   * Decodes a payload.
   *
   * @param bytes exactly as many as the header says
   * @param fds how many descriptors came along
   */
  public static FrontEndMessage payload(VhostUserRequest request, ByteBuffer bytes, int fds)
      throws ProtocolFault {
    if (fds < request.minFds() || fds > request.maxFds()) {
      throw new ProtocolFault(request + " came with " + fds + " descriptors");
    }
    ByteBuffer in = bytes.slice().order(ByteOrder.nativeOrder());
    return switch (request.payload()) {
      case NONE -> {
        // A payload here has no meaning; some front-ends send a zero u64 and QEMU sends none.
        if (in.remaining() != 0 && in.remaining() != Long.BYTES) {
          throw wrongSize(request, in);
        }
        yield new FrontEndMessage.Simple(request);
      }
      case U64 -> {
        exactly(request, in, Long.BYTES);
        yield new FrontEndMessage.Value(request, in.getLong());
      }
      case VRING_STATE -> {
        exactly(request, in, 8);
        yield new FrontEndMessage.VringState(request, in.getInt(), in.getInt());
      }
      case VRING_ADDRESS -> {
        exactly(request, in, 40);
        yield new FrontEndMessage.VringAddress(
            request,
            in.getInt(),
            in.getInt(),
            in.getLong(),
            in.getLong(),
            in.getLong(),
            in.getLong());
      }
      case VRING_FD -> vringFd(request, in, fds);
      case MEMORY_TABLE -> memoryTable(request, in, fds);
      case MEMORY_REGION -> {
        exactly(request, in, 8 + REGION_SIZE);
        in.getLong();
        yield new FrontEndMessage.MemoryRegion(request, region(request, in));
      }
      case CONFIG -> config(request, in);
    };
  }

  private static FrontEndMessage vringFd(VhostUserRequest request, ByteBuffer in, int fds)
      throws ProtocolFault {
    exactly(request, in, Long.BYTES);
    long value = in.getLong();
    boolean hasFd = (value & VRING_NOFD) == 0;
    if ((value & ~0x1ffL) != 0 || hasFd != (fds == 1)) {
      throw new ProtocolFault(
          String.format("%s with payload 0x%x came with %d descriptors", request, value, fds));
    }
    return new FrontEndMessage.VringFd(request, (int) (value & 0xff), hasFd);
  }

  private static FrontEndMessage memoryTable(VhostUserRequest request, ByteBuffer in, int fds)
      throws ProtocolFault {
    if (in.remaining() < 8) {
      throw wrongSize(request, in);
    }
    int count = in.getInt();
    in.getInt();
    if (count < 0 || count > MAX_TABLE_REGIONS || count != fds) {
      throw new ProtocolFault(
          request + " of " + Integer.toUnsignedString(count) + " regions, " + fds + " descriptors");
    }
    // Some front-ends always send room for eight regions.
    if (in.remaining() != count * REGION_SIZE
        && in.remaining() != MAX_TABLE_REGIONS * REGION_SIZE) {
      throw wrongSize(request, in);
    }
    List<FrontEndMessage.Region> regions = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      regions.add(region(request, in));
    }
    return new FrontEndMessage.MemoryTable(request, List.copyOf(regions));
  }

  private static FrontEndMessage.Region region(VhostUserRequest request, ByteBuffer in)
      throws ProtocolFault {
    FrontEndMessage.Region region =
        new FrontEndMessage.Region(in.getLong(), in.getLong(), in.getLong(), in.getLong());
    if (region.size() <= 0
        || wraps(region.guestAddress(), region.size())
        || wraps(region.userAddress(), region.size())
        || region.mmapOffset() < 0
        || region.mmapOffset() + region.size() < 0) {
      throw new ProtocolFault(
          String.format(
              "%s: region at 0x%x of 0x%x bytes, user address 0x%x, offset 0x%x",
              request,
              region.guestAddress(),
              region.size(),
              region.userAddress(),
              region.mmapOffset()));
    }
    return region;
  }

  private static boolean wraps(long address, long size) {
    return Long.compareUnsigned(address + (size - 1), address) < 0;
  }

  private static FrontEndMessage config(VhostUserRequest request, ByteBuffer in)
      throws ProtocolFault {
    if (in.remaining() < CONFIG_HEADER_SIZE) {
      throw wrongSize(request, in);
    }
    int offset = in.getInt();
    int size = in.getInt();
    int flags = in.getInt();
    if (offset < 0
        || size <= 0
        || size > MAX_CONFIG_SIZE
        || offset > MAX_CONFIG_SIZE - size
        || in.remaining() != size) {
      throw new ProtocolFault(
          String.format(
              "%s of %d bytes at %d with %d bytes of payload",
              request, size, offset, in.remaining()));
    }
    byte[] bytes = new byte[size];
    in.get(bytes);
    return new FrontEndMessage.Config(request, offset, flags, bytes);
  }

  private static void exactly(VhostUserRequest request, ByteBuffer in, int size)
      throws ProtocolFault {
    if (in.remaining() != size) {
      throw wrongSize(request, in);
    }
  }

  private static ProtocolFault wrongSize(VhostUserRequest request, ByteBuffer in) {
    return new ProtocolFault(request + " has a payload of " + in.limit() + " bytes");
  }

  /** Encodes a reply with a 64-bit payload. */
  public static ByteBuffer reply(VhostUserRequest request, long value) {
    return reply(request, Long.BYTES).putLong(value).flip();
  }

  /** Encodes a reply that is a vring state description. */
  public static ByteBuffer reply(VhostUserRequest request, int index, int num) {
    return reply(request, 8).putInt(index).putInt(num).flip();
  }

  /** Encodes a reply that is a part of the configuration space; null for an error. */
  public static ByteBuffer reply(VhostUserRequest request, int offset, int flags, byte[] bytes) {
    if (bytes == null) {
      return reply(request, 0).flip();
    }
    return reply(request, CONFIG_HEADER_SIZE + bytes.length)
        .putInt(offset)
        .putInt(bytes.length)
        .putInt(flags)
        .put(bytes)
        .flip();
  }

  private static ByteBuffer reply(VhostUserRequest request, int size) {
    return message(request.id(), VERSION | FLAG_REPLY, size);
  }

  /** Encodes a message of the back-end without a payload, for its own channel. */
  static ByteBuffer backEndMessage(int id) {
    return message(id, VERSION, 0).flip();
  }

  /** A message with its header filled in, and room for a payload of the given size. */
  static ByteBuffer message(int id, int flags, int size) {
    return ByteBuffer.allocate(HEADER_SIZE + size)
        .order(ByteOrder.nativeOrder())
        .putInt(id)
        .putInt(flags)
        .putInt(size);
  }
}
