// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.vhost.FrontEndMessage;
import io.jvirtio.vhost.ProtocolFault;
import io.jvirtio.vhost.VhostUserCodec;
import java.nio.ByteBuffer;

/**
 * Fuzz target: the messages of a vhost-user front-end. The input is a sequence of messages, each
 * behind one byte for the number of descriptors that come along. What is wrong must be a {@link
 * ProtocolFault}; what is decoded must be in the ranges that its type promises.
 */
public final class VhostUserCodecFuzz {
  private VhostUserCodecFuzz() {}

  /** The entry that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) {
    ByteBuffer in = ByteBuffer.wrap(input);
    try {
      while (in.remaining() > VhostUserCodec.HEADER_SIZE) {
        int fds = in.get() & 0xf;
        VhostUserCodec.Header header = VhostUserCodec.header(take(in, VhostUserCodec.HEADER_SIZE));
        if (header.size() < 0 || header.size() > VhostUserCodec.MAX_PAYLOAD) {
          throw new AssertionError("payload of " + header.size());
        }
        if (header.size() > in.remaining()) {
          return;
        }
        FrontEndMessage message =
            VhostUserCodec.payload(header.request(), take(in, header.size()), fds);
        if (message.request() != header.request()) {
          throw new AssertionError(message + " is no " + header.request());
        }
        check(message, fds);
      }
    } catch (ProtocolFault fault) {
      if (fault.getMessage().isEmpty()) {
        throw new AssertionError("a fault that says nothing", fault);
      }
    }
  }

  private static ByteBuffer take(ByteBuffer in, int bytes) {
    ByteBuffer part = in.slice(in.position(), bytes);
    in.position(in.position() + bytes);
    return part;
  }

  private static void check(FrontEndMessage message, int fds) {
    switch (message) {
      case FrontEndMessage.Simple simple -> {}
      case FrontEndMessage.Value value -> {}
      case FrontEndMessage.VringState state -> {}
      case FrontEndMessage.VringAddress address -> {}
      case FrontEndMessage.VringFd vring -> {
        if (vring.hasFd() != (fds == 1) || vring.index() < 0 || vring.index() > 255) {
          throw new AssertionError(message + " with " + fds);
        }
      }
      case FrontEndMessage.MemoryTable table -> {
        if (table.regions().size() != fds) {
          throw new AssertionError(message + " with " + fds);
        }
        table.regions().forEach(VhostUserCodecFuzz::check);
      }
      case FrontEndMessage.MemoryRegion one -> check(one.region());
      case FrontEndMessage.Config config -> {
        int end = config.offset() + config.bytes().length;
        if (config.offset() < 0 || end > VhostUserCodec.MAX_CONFIG_SIZE) {
          throw new AssertionError(message.toString());
        }
      }
    }
  }

  private static void check(FrontEndMessage.Region region) {
    boolean wraps =
        Long.compareUnsigned(region.guestAddress() + region.size() - 1, region.guestAddress()) < 0
            || Long.compareUnsigned(region.userAddress() + region.size() - 1, region.userAddress())
                < 0
            || region.mmapOffset() + region.size() < region.mmapOffset();
    if (region.size() <= 0 || region.mmapOffset() < 0 || wraps) {
      throw new AssertionError(region.toString());
    }
  }
}
