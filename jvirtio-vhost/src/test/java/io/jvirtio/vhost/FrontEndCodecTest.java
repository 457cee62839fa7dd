// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What the front-end encodes, the back-end decodes to the same. */
class FrontEndCodecTest {
  private static final FrontEndMessage.Region REGION =
      new FrontEndMessage.Region(1L << 32, 0x20_0000, 0x7f00_0000_0000L, 0);

  private static FrontEndMessage decode(ByteBuffer message, int fds) throws ProtocolFault {
    VhostUserCodec.Header header =
        VhostUserCodec.header(message.duplicate().limit(VhostUserCodec.HEADER_SIZE));
    assertFalse(header.needReply());
    ByteBuffer payload =
        message.slice(VhostUserCodec.HEADER_SIZE, message.limit() - VhostUserCodec.HEADER_SIZE);
    assertEquals(header.size(), payload.remaining());
    return VhostUserCodec.payload(header.request(), payload, fds);
  }

  @Test
  void requestsOfEachShape() throws ProtocolFault {
    assertEquals(
        new FrontEndMessage.Simple(VhostUserRequest.SET_OWNER),
        decode(FrontEndCodec.simple(VhostUserRequest.SET_OWNER), 0));
    assertEquals(
        new FrontEndMessage.Value(VhostUserRequest.SET_FEATURES, 1L << 63),
        decode(FrontEndCodec.value(VhostUserRequest.SET_FEATURES, 1L << 63), 0));
    assertEquals(
        new FrontEndMessage.VringState(VhostUserRequest.SET_VRING_NUM, 3, 128),
        decode(FrontEndCodec.vringState(VhostUserRequest.SET_VRING_NUM, 3, 128), 0));
    assertEquals(
        new FrontEndMessage.VringAddress(VhostUserRequest.SET_VRING_ADDR, 3, 0, 16, 32, 48, 0),
        decode(FrontEndCodec.vringAddress(3, 16, 32, 48), 0));
    assertEquals(
        new FrontEndMessage.MemoryTable(VhostUserRequest.SET_MEM_TABLE, List.of(REGION, REGION)),
        decode(FrontEndCodec.memoryTable(List.of(REGION, REGION)), 2));
    assertEquals(
        new FrontEndMessage.MemoryRegion(VhostUserRequest.REM_MEM_REG, REGION),
        decode(FrontEndCodec.memoryRegion(VhostUserRequest.REM_MEM_REG, REGION), 0));
    FrontEndMessage.Config config =
        (FrontEndMessage.Config)
            decode(FrontEndCodec.config(VhostUserRequest.SET_CONFIG, 7, 0, new byte[] {1, 2}), 0);
    assertEquals(7, config.offset());
    assertArrayEquals(new byte[] {1, 2}, config.bytes());
  }

  @Test
  void anAcknowledgementIsAskedFor() throws ProtocolFault {
    ByteBuffer message = FrontEndCodec.simple(VhostUserRequest.SET_OWNER);
    FrontEndCodec.setNeedReply(message);
    assertTrue(VhostUserCodec.header(message).needReply());
  }

  @Test
  void repliesOfEachShape() throws ProtocolFault {
    ByteBuffer value = VhostUserCodec.reply(VhostUserRequest.GET_FEATURES, -2);
    assertEquals(8, FrontEndCodec.replySize(VhostUserRequest.GET_FEATURES, value, 0));
    assertEquals(-2, FrontEndCodec.value(value.position(VhostUserCodec.HEADER_SIZE)));
    ByteBuffer state = VhostUserCodec.reply(VhostUserRequest.GET_VRING_BASE, 1, 17);
    assertEquals(8, FrontEndCodec.replySize(VhostUserRequest.GET_VRING_BASE, state, 0));
    state.position(VhostUserCodec.HEADER_SIZE);
    assertEquals(17, FrontEndCodec.vringState(VhostUserRequest.GET_VRING_BASE, state, 1));
    byte[] bytes = {5, 6, 7};
    ByteBuffer config = VhostUserCodec.reply(VhostUserRequest.GET_CONFIG, 4, 0, bytes);
    assertEquals(15, FrontEndCodec.replySize(VhostUserRequest.GET_CONFIG, config, 3));
    config.position(VhostUserCodec.HEADER_SIZE);
    assertArrayEquals(bytes, FrontEndCodec.config(config, 4, 3));
  }

  @Test
  void theBackEndsOwnRequest() throws ProtocolFault {
    ByteBuffer message = VhostUserCodec.backEndMessage(FrontEndCodec.BACKEND_CONFIG_CHANGE_MSG);
    assertEquals(
        new FrontEndCodec.BackEndHeader(FrontEndCodec.BACKEND_CONFIG_CHANGE_MSG, false, 0),
        FrontEndCodec.backEndHeader(message));
  }
}
