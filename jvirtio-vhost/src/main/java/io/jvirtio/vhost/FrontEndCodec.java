// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * The front-end's half of {@link VhostUserCodec}: requests to bytes, and the bytes of a back-end to
 * checked replies and requests ("Message Specification"). Pure functions.
 */
final class FrontEndCodec {
  /** The one request of a back-end that is served here ("Back-end message types"). */
  static final int BACKEND_CONFIG_CHANGE_MSG = 2;

  private static final int VRING_STATE_SIZE = 8;
  private static final int VRING_ADDRESS_SIZE = 40;

  /**
   * The header of a request of the back-end.
   *
   * @param id its number, unsigned; any
   * @param needReply whether the back-end wants to know how it went
   * @param size bytes of the payload, 0 to {@link VhostUserCodec#MAX_PAYLOAD}
   */
  record BackEndHeader(int id, boolean needReply, int size) {}

  private FrontEndCodec() {}

  // Requests.

  static ByteBuffer simple(VhostUserRequest request) {
    return request(request, 0).flip();
  }

  static ByteBuffer value(VhostUserRequest request, long value) {
    return request(request, Long.BYTES).putLong(value).flip();
  }

  static ByteBuffer vringState(VhostUserRequest request, int index, int num) {
    return request(request, VRING_STATE_SIZE).putInt(index).putInt(num).flip();
  }

  static ByteBuffer vringAddress(int index, long descriptor, long used, long available) {
    return request(VhostUserRequest.SET_VRING_ADDR, VRING_ADDRESS_SIZE)
        .putInt(index)
        .putInt(0)
        .putLong(descriptor)
        .putLong(used)
        .putLong(available)
        .putLong(0)
        .flip();
  }

  static ByteBuffer memoryTable(List<FrontEndMessage.Region> regions) {
    int size = 8 + regions.size() * VhostUserCodec.REGION_SIZE;
    ByteBuffer out = request(VhostUserRequest.SET_MEM_TABLE, size).putInt(regions.size()).putInt(0);
    regions.forEach(region -> region(out, region));
    return out.flip();
  }

  static ByteBuffer memoryRegion(VhostUserRequest request, FrontEndMessage.Region region) {
    ByteBuffer out = request(request, 8 + VhostUserCodec.REGION_SIZE).putLong(0);
    region(out, region);
    return out.flip();
  }

  private static void region(ByteBuffer out, FrontEndMessage.Region region) {
    out.putLong(region.guestAddress())
        .putLong(region.size())
        .putLong(region.userAddress())
        .putLong(region.mmapOffset());
  }

  /** With the bytes to write, or as many zeroes as are to be read. */
  static ByteBuffer config(VhostUserRequest request, int offset, int flags, byte[] bytes) {
    return request(request, VhostUserCodec.CONFIG_HEADER_SIZE + bytes.length)
        .putInt(offset)
        .putInt(bytes.length)
        .putInt(flags)
        .put(bytes)
        .flip();
  }

  private static ByteBuffer request(VhostUserRequest request, int size) {
    return VhostUserCodec.message(request.id(), VhostUserCodec.VERSION, size);
  }

  /** Asks for an acknowledgement of a request that has been encoded ("REPLY_ACK"). */
  static void setNeedReply(ByteBuffer message) {
    int flags = VhostUserCodec.VERSION | VhostUserCodec.FLAG_NEED_REPLY;
    message.putInt(message.position() + Integer.BYTES, flags);
  }

  // Replies.

  /**
   * Checks the header of a reply.
   *
   * @param pending what it must answer
   * @param bytes exactly {@link VhostUserCodec#HEADER_SIZE} bytes
   * @param configSize bytes that GET_CONFIG asked for; 0 for every other request
   * @return bytes of the payload
   */
  static int replySize(VhostUserRequest pending, ByteBuffer bytes, int configSize)
      throws ProtocolFault {
    ByteBuffer in = bytes.duplicate().order(ByteOrder.nativeOrder());
    int id = in.getInt();
    int flags = in.getInt();
    int size = in.getInt();
    if (id != pending.id()) {
      VhostUserRequest other = VhostUserRequest.of(id);
      String name = other == null ? "message " + Integer.toUnsignedString(id) : other.toString();
      throw new ProtocolFault("back-end answered " + name + " to " + pending);
    }
    if ((flags & VhostUserCodec.VERSION_MASK) != VhostUserCodec.VERSION) {
      throw new ProtocolFault(
          "reply to " + pending + " has version " + (flags & VhostUserCodec.VERSION_MASK));
    }
    if ((flags & VhostUserCodec.FLAG_REPLY) == 0) {
      throw new ProtocolFault("answer to " + pending + " is not marked as a reply");
    }
    boolean right =
        switch (pending.replyPayload()) {
          case U64 -> size == Long.BYTES;
          case VRING_STATE -> size == VRING_STATE_SIZE;
          // Without a payload, or without anything behind its header, it tells of an error: QEMU's
          // library does the one and the Rust one the other.
          case CONFIG ->
              size == 0
                  || size == VhostUserCodec.CONFIG_HEADER_SIZE
                  || size == VhostUserCodec.CONFIG_HEADER_SIZE + configSize;
          case NONE, VRING_ADDRESS, VRING_FD, MEMORY_TABLE, MEMORY_REGION ->
              throw new IllegalStateException("no reply is of this kind: " + pending);
        };
    if (!right) {
      throw new ProtocolFault(
          "reply to " + pending + " has " + Integer.toUnsignedString(size) + " bytes");
    }
    return size;
  }

  static long value(ByteBuffer payload) {
    return payload.duplicate().order(ByteOrder.nativeOrder()).getLong();
  }

  /** The number in a vring state description of this index. */
  static int vringState(VhostUserRequest pending, ByteBuffer payload, int index)
      throws ProtocolFault {
    ByteBuffer in = payload.duplicate().order(ByteOrder.nativeOrder());
    int answered = in.getInt();
    if (answered != index) {
      throw new ProtocolFault(
          String.format(
              "reply to %s of vring %d is for vring %s",
              pending, index, Integer.toUnsignedString(answered)));
    }
    return in.getInt();
  }

  /**
   * The bytes of the configuration space that were asked for.
   *
   * @return null when the back-end tells of an error
   */
  static byte[] config(ByteBuffer payload, int offset, int size) throws ProtocolFault {
    ByteBuffer in = payload.duplicate().order(ByteOrder.nativeOrder());
    if (!in.hasRemaining()) {
      return null;
    }
    int answeredOffset = in.getInt();
    int answeredSize = in.getInt();
    in.getInt(); // flags
    if (answeredSize == 0 && !in.hasRemaining()) {
      return null;
    }
    if (answeredOffset != offset || answeredSize != size || in.remaining() != size) {
      throw new ProtocolFault(
          String.format(
              "reply to GET_CONFIG of %d bytes at %d is of %s bytes at %s",
              size,
              offset,
              Integer.toUnsignedString(answeredSize),
              Integer.toUnsignedString(answeredOffset)));
    }
    byte[] bytes = new byte[size];
    in.get(bytes);
    return bytes;
  }

  // The channel of the back-end.

  /**
   * Decodes the header of a request of the back-end.
   *
   * @param bytes exactly {@link VhostUserCodec#HEADER_SIZE} bytes
   */
  static BackEndHeader backEndHeader(ByteBuffer bytes) throws ProtocolFault {
    ByteBuffer in = bytes.duplicate().order(ByteOrder.nativeOrder());
    int id = in.getInt();
    int flags = in.getInt();
    int size = in.getInt();
    String name = "request " + Integer.toUnsignedString(id) + " of the back-end";
    if ((flags & VhostUserCodec.VERSION_MASK) != VhostUserCodec.VERSION) {
      throw new ProtocolFault(name + " has version " + (flags & VhostUserCodec.VERSION_MASK));
    }
    if ((flags & VhostUserCodec.FLAG_REPLY) != 0) {
      throw new ProtocolFault(name + " is marked as a reply");
    }
    if (size < 0 || size > VhostUserCodec.MAX_PAYLOAD) {
      throw new ProtocolFault(name + " claims " + Integer.toUnsignedString(size) + " bytes");
    }
    if (id == BACKEND_CONFIG_CHANGE_MSG && size != 0) {
      throw new ProtocolFault("CONFIG_CHANGE_MSG has a payload of " + size + " bytes");
    }
    return new BackEndHeader(id, (flags & VhostUserCodec.FLAG_NEED_REPLY) != 0, size);
  }

  /** Encodes the answer to a request of the back-end: 0 for success. */
  static ByteBuffer backEndReply(int id, long result) {
    int flags = VhostUserCodec.VERSION | VhostUserCodec.FLAG_REPLY;
    return VhostUserCodec.message(id, flags, Long.BYTES).putLong(result).flip();
  }
}
