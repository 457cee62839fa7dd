// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class VhostUserCodecTest {
  private static FrontEndMessage decode(VhostUserRequest request, byte[] payload, int fds)
      throws ProtocolFault {
    return VhostUserCodec.payload(request, ByteBuffer.wrap(payload), fds);
  }

  private static void refused(VhostUserRequest request, byte[] payload, int fds) {
    ProtocolFault fault = assertThrows(ProtocolFault.class, () -> decode(request, payload, fds));
    assertTrue(fault.getMessage().contains(request.name()), fault.getMessage());
  }

  private static VhostUserCodec.Header header(int id, int flags, int size) throws ProtocolFault {
    return VhostUserCodec.header(ByteBuffer.wrap(FrontEnd.header(id, flags, size)));
  }

  /** A payload that is right, with the descriptors that it needs. */
  private static byte[] sample(VhostUserRequest request) {
    return switch (request.payload()) {
      case NONE -> new byte[0];
      case U64 -> FrontEnd.u64(0x1_0000_0001L);
      case VRING_STATE -> FrontEnd.state(3, 77);
      case VRING_ADDRESS -> new byte[40];
      case VRING_FD -> FrontEnd.u64(200 | (request.minFds() == 0 ? VhostUserCodec.VRING_NOFD : 0));
      case MEMORY_TABLE -> FrontEnd.table();
      case MEMORY_REGION -> FrontEnd.region(1, 2, 3, 4);
      case CONFIG -> FrontEnd.config(8, 1, 0, new byte[] {9});
    };
  }

  @ParameterizedTest
  @EnumSource(VhostUserRequest.class)
  void everyMessageIsDecoded(VhostUserRequest request) throws ProtocolFault {
    byte[] payload = sample(request);
    VhostUserCodec.Header plain = header(request.id(), 1, payload.length);
    assertEquals(new VhostUserCodec.Header(request, false, payload.length), plain);
    assertTrue(header(request.id(), 1 | 8, payload.length).needReply());
    assertEquals(request, decode(request, payload, request.minFds()).request());
  }

  @ParameterizedTest
  @EnumSource(VhostUserRequest.class)
  void everySizeButTheRightOneIsRefused(VhostUserRequest request) {
    int right = sample(request).length;
    for (int size = 0; size <= 400; size++) {
      boolean alsoRight =
          switch (request.payload()) {
            case NONE -> size == 8;
            // The count is zero here, and room for eight is always allowed.
            case MEMORY_TABLE -> size == 8 + 8 * 32;
            default -> false;
          };
      if (size != right && !alsoRight) {
        refused(request, new byte[size], request.minFds());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(VhostUserRequest.class)
  void everyNumberOfDescriptorsButTheRightOneIsRefused(VhostUserRequest request) {
    refused(request, sample(request), request.maxFds() + 1);
    refused(request, sample(request), 253);
    if (request.minFds() > 0) {
      refused(request, sample(request), request.minFds() - 1);
    }
  }

  @Test
  void fieldsArriveWhereTheyBelong() throws ProtocolFault {
    assertEquals(
        new FrontEndMessage.Value(VhostUserRequest.SET_FEATURES, 0x1234567812345678L),
        decode(VhostUserRequest.SET_FEATURES, FrontEnd.u64(0x1234567812345678L), 0));
    assertEquals(
        new FrontEndMessage.VringState(VhostUserRequest.SET_VRING_BASE, 1, 65535),
        decode(VhostUserRequest.SET_VRING_BASE, FrontEnd.state(1, 65535), 0));
    byte[] address =
        FrontEnd.bytes(
            40, out -> out.putInt(1).putInt(2).putLong(3).putLong(4).putLong(5).putLong(6));
    assertEquals(
        new FrontEndMessage.VringAddress(VhostUserRequest.SET_VRING_ADDR, 1, 2, 3, 4, 5, 6),
        decode(VhostUserRequest.SET_VRING_ADDR, address, 0));
    assertEquals(
        new FrontEndMessage.MemoryTable(
            VhostUserRequest.SET_MEM_TABLE,
            List.of(
                new FrontEndMessage.Region(0, 4096, 1 << 20, 0),
                new FrontEndMessage.Region(8192, 1, 0, 4096))),
        decode(
            VhostUserRequest.SET_MEM_TABLE,
            FrontEnd.table(new long[] {0, 4096, 1 << 20, 0}, new long[] {8192, 1, 0, 4096}),
            2));
    assertEquals(
        new FrontEndMessage.MemoryRegion(
            VhostUserRequest.ADD_MEM_REG, new FrontEndMessage.Region(1, 2, 3, 4)),
        decode(VhostUserRequest.ADD_MEM_REG, FrontEnd.region(1, 2, 3, 4), 1));
    FrontEndMessage.Config config =
        (FrontEndMessage.Config)
            decode(VhostUserRequest.SET_CONFIG, FrontEnd.config(4, 2, 1, new byte[] {7, 8}), 0);
    assertEquals(4, config.offset());
    assertEquals(1, config.flags());
    assertArrayEquals(new byte[] {7, 8}, config.bytes());
  }

  @ParameterizedTest
  @CsvSource({
    "1, 0, 0", // version 0
    "1, 2, 0",
    "1, 3, 0",
    "1, 5, 0", // a reply
    "0, 1, 0", // unknown
    "6, 1, 0",
    "41, 1, 0",
    "-1, 1, 0",
    "2147483647, 1, 0",
    "1, 1, 4097",
    "1, 1, -1",
    "1, 1, -2147483648",
    "1, 1, 2147483647"
  })
  void aWrongHeaderIsRefused(int id, int flags, int size) {
    assertThrows(ProtocolFault.class, () -> header(id, flags, size));
  }

  @Test
  void theLargestPayloadThatIsClaimedMayBeReceived() throws ProtocolFault {
    assertEquals(4096, header(1, 1, VhostUserCodec.MAX_PAYLOAD).size());
    refused(VhostUserRequest.GET_FEATURES, new byte[4096], 0);
  }

  @ParameterizedTest
  @CsvSource({
    "0x100, 1", // no descriptor announced, one comes
    "0x000, 0", // one announced, none comes
    "0x200, 1",
    "0x300, 0",
    "0x100000000, 1",
    "0x8000000000000000, 1"
  })
  void theWordOnADescriptorMustBeTrue(String value, int fds) {
    byte[] payload = FrontEnd.u64(Long.parseUnsignedLong(value.substring(2), 16));
    refused(VhostUserRequest.SET_VRING_KICK, payload, fds);
    refused(VhostUserRequest.SET_VRING_CALL, payload, fds);
    refused(VhostUserRequest.SET_VRING_ERR, payload, fds);
  }

  @Test
  void aVringDescriptorHasEightBitsOfIndex() throws ProtocolFault {
    FrontEndMessage.VringFd with =
        (FrontEndMessage.VringFd) decode(VhostUserRequest.SET_VRING_KICK, FrontEnd.u64(255), 1);
    assertEquals(255, with.index());
    assertTrue(with.hasFd());
    FrontEndMessage.VringFd without =
        (FrontEndMessage.VringFd) decode(VhostUserRequest.SET_VRING_KICK, FrontEnd.u64(0x103), 0);
    assertEquals(3, without.index());
    assertFalse(without.hasFd());
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0, 0, 0", // empty
    "0, -1, 0, 0",
    "0, -9223372036854775808, 0, 0",
    "-4096, 8192, 0, 0", // the guest address wraps
    "-1, 2, 0, 0",
    "0, 8192, -4096, 0", // the user address wraps
    "0, 4096, 0, -1", // offset
    "0, 4096, 0, -9223372036854775808",
    "0, 4096, 0, 9223372036854775807",
    "0, 9223372036854775807, 0, 1"
  })
  void aRegionThatCannotBeIsRefused(long guest, long size, long user, long offset) {
    refused(VhostUserRequest.ADD_MEM_REG, FrontEnd.region(guest, size, user, offset), 1);
    refused(VhostUserRequest.REM_MEM_REG, FrontEnd.region(guest, size, user, offset), 0);
    refused(
        VhostUserRequest.SET_MEM_TABLE,
        FrontEnd.table(new long[] {0, 1, 0, 0}, new long[] {guest, size, user, offset}),
        2);
  }

  @Test
  void aRegionMayEndWhereTheAddressSpaceEnds() throws ProtocolFault {
    assertEquals(
        new FrontEndMessage.MemoryRegion(
            VhostUserRequest.ADD_MEM_REG, new FrontEndMessage.Region(-4096, 4096, -4096, 0)),
        decode(VhostUserRequest.ADD_MEM_REG, FrontEnd.region(-4096, 4096, -4096, 0), 1));
  }

  @ParameterizedTest
  @CsvSource({"1, 0", "0, 1", "8, 7", "9, 8", "-1, 8", "-2147483648, 0", "2147483647, 8"})
  void aTableHasAsManyDescriptorsAsRegions(int count, int fds) {
    byte[] room = new byte[8 + 8 * 32];
    ByteBuffer.wrap(room).order(ByteOrder.nativeOrder()).putInt(count);
    refused(VhostUserRequest.SET_MEM_TABLE, room, fds);
  }

  @Test
  void aTableIsAsLongAsItsRegionsOrAsEight() throws ProtocolFault {
    byte[] two = FrontEnd.table(new long[] {0, 1, 0, 0}, new long[] {8, 1, 8, 0});
    byte[] room = java.util.Arrays.copyOf(two, 8 + 8 * 32);
    FrontEndMessage.MemoryTable table =
        (FrontEndMessage.MemoryTable) decode(VhostUserRequest.SET_MEM_TABLE, room, 2);
    assertEquals(2, table.regions().size());
    refused(VhostUserRequest.SET_MEM_TABLE, java.util.Arrays.copyOf(two, 8 + 3 * 32), 2);
    refused(VhostUserRequest.SET_MEM_TABLE, java.util.Arrays.copyOf(two, 8 + 32), 2);
    refused(VhostUserRequest.SET_MEM_TABLE, java.util.Arrays.copyOf(two, 8 + 9 * 32), 2);
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0, 0", // nothing
    "0, 257, 257", // more than there can be
    "256, 1, 1",
    "255, 2, 2",
    "-1, 1, 1",
    "2147483647, 1, 1",
    "0, -1, 1",
    "0, -2147483648, 0",
    "0, 2, 1", // less than it says
    "0, 1, 2"
  })
  void aConfigurationAccessMustFit(int offset, int size, int length) {
    byte[] payload = FrontEnd.config(offset, size, 0, new byte[length]);
    refused(VhostUserRequest.GET_CONFIG, payload, 0);
    refused(VhostUserRequest.SET_CONFIG, payload, 0);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 8, 11})
  void aConfigurationAccessHasAHeader(int size) {
    refused(VhostUserRequest.GET_CONFIG, new byte[size], 0);
  }

  @Test
  void theWholeConfigurationSpaceCanBeAccessed() throws ProtocolFault {
    FrontEndMessage.Config config =
        (FrontEndMessage.Config)
            decode(VhostUserRequest.GET_CONFIG, FrontEnd.config(0, 256, 0, new byte[256]), 0);
    assertEquals(256, config.bytes().length);
  }

  private static void wire(ByteBuffer actual, int... words) {
    ByteBuffer expected = ByteBuffer.allocate(4 * words.length).order(ByteOrder.nativeOrder());
    for (int word : words) {
      expected.putInt(word);
    }
    byte[] bytes = new byte[actual.remaining()];
    actual.get(bytes);
    assertArrayEquals(expected.array(), bytes);
  }

  @Test
  void repliesAreEncoded() {
    wire(VhostUserCodec.reply(VhostUserRequest.GET_FEATURES, 1L << 32 | 5), 1, 5, 8, 5, 1);
    wire(VhostUserCodec.reply(VhostUserRequest.GET_VRING_BASE, 2, 0xffff), 11, 5, 8, 2, 0xffff);
    wire(VhostUserCodec.reply(VhostUserRequest.GET_CONFIG, 0, 0, null), 24, 5, 0);
    byte[] four = {1, 0, 0, 0};
    int word = ByteBuffer.wrap(four).order(ByteOrder.nativeOrder()).getInt();
    wire(VhostUserCodec.reply(VhostUserRequest.GET_CONFIG, 8, 1, four), 24, 5, 16, 8, 4, 1, word);
    wire(VhostUserCodec.backEndMessage(2), 2, 1, 0);
  }

  @Test
  void theNumbersOfMessagesAreThoseOfTheProtocol() {
    assertEquals(VhostUserRequest.SET_VRING_ENABLE, VhostUserRequest.of(18));
    assertEquals(VhostUserRequest.SET_BACKEND_REQ_FD, VhostUserRequest.of(21));
    assertEquals(VhostUserRequest.SET_STATUS, VhostUserRequest.of(39));
    assertEquals(null, VhostUserRequest.of(7));
  }

  @Test
  void protocolFeaturesHaveNames() {
    assertEquals(
        List.of("MQ", "STATUS", "bit 40"), ProtocolFeatures.names(1L | 1L << 16 | 1L << 40));
    assertEquals(List.of(), ProtocolFeatures.names(0));
  }
}
