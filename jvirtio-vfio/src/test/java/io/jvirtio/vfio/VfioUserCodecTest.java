// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.Errno;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;

class VfioUserCodecTest {
  private static VfioUserCodec.Header header(int id, int command, int size, int flags)
      throws ProtocolFault {
    return VfioUserCodec.header(ByteBuffer.wrap(Client.header(id, command, size, flags)));
  }

  private static ClientMessage decode(VfioUserCommand command, byte[] payload, int fds)
      throws ProtocolFault, CommandRefused {
    VfioUserCodec.Header header = header(1, command.id(), 16 + payload.length, 0);
    return VfioUserCodec.payload(header, ByteBuffer.wrap(payload), fds);
  }

  @Test
  void aHeader() throws ProtocolFault {
    VfioUserCodec.Header header = header(0xfffe, 10, 16 + 18, 0);
    assertEquals(0xfffe, header.id());
    assertEquals(VfioUserCommand.REGION_WRITE, header.command());
    assertEquals(18, header.size());
    assertTrue(header.wantsReply());
    assertFalse(header.reply());
    assertEquals("REGION_WRITE", header.toString());
    assertFalse(header(1, 10, 16, 0x10).wantsReply());
    VfioUserCodec.Header unknown = header(1, 99, 16, 0);
    assertNull(unknown.command());
    assertEquals("command 99", unknown.toString());
  }

  @Test
  void aReply() throws ProtocolFault {
    VfioUserCodec.Header reply = header(1, 11, 16, 1);
    assertTrue(reply.reply());
    assertFalse(reply.wantsReply());
    assertEquals(0, reply.error());
    assertEquals("DMA_READ (reply)", reply.toString());
    // An error without a number is one all the same.
    assertEquals(Errno.EIO, header(1, 11, 16, 0x21).error());
    assertEquals(0, header(1, 11, 16, 0x20).error());
  }

  @Test
  void everyCommandHasItsNumber() {
    for (VfioUserCommand command : VfioUserCommand.values()) {
      assertEquals(command, VfioUserCommand.of(command.id()));
    }
    assertNull(VfioUserCommand.of(14));
    assertNull(VfioUserCommand.of(19));
    assertNull(VfioUserCommand.of(-1));
  }

  @Test
  void memory() throws Exception {
    assertEquals(
        new ClientMessage.DmaMap(true, 0x1000, -0x2000, 0x2000, true),
        decode(VfioUserCommand.DMA_MAP, Client.map(3, 0x1000, -0x2000, 0x2000), 1));
    assertEquals(
        new ClientMessage.DmaMap(false, 0, 7, 1, false),
        decode(VfioUserCommand.DMA_MAP, Client.map(1, 0, 7, 1), 0));
    assertEquals(
        new ClientMessage.DmaUnmap(0, false, 0, -1),
        decode(VfioUserCommand.DMA_UNMAP, Client.unmap(0, 0, -1), 0));
    assertEquals(
        new ClientMessage.DmaUnmap(2, true, 0, 0),
        decode(VfioUserCommand.DMA_UNMAP, Client.unmap(2, 0, 0), 0));
  }

  @Test
  void interrupts() throws Exception {
    ClientMessage.SetIrqs set =
        assertInstanceOf(
            ClientMessage.SetIrqs.class,
            decode(
                VfioUserCommand.DEVICE_SET_IRQS,
                Client.irqs(Client.DATA_BOOL | Client.UNMASK, 2, 3, 2, (byte) 0, (byte) 7),
                0));
    assertEquals(ClientMessage.IrqData.BOOL, set.data());
    assertEquals(ClientMessage.IrqAction.UNMASK, set.action());
    assertEquals(2, set.index());
    assertEquals(3, set.start());
    assertEquals(2, set.count());
    assertFalse(set.chosen()[0]);
    assertTrue(set.chosen()[1]);
  }

  @Test
  void accesses() throws Exception {
    assertEquals(
        new ClientMessage.RegionRead(0x10, 4, 8),
        decode(VfioUserCommand.REGION_READ, Client.access(4, 0x10, 8), 0));
    ClientMessage.RegionWrite write =
        assertInstanceOf(
            ClientMessage.RegionWrite.class,
            decode(
                VfioUserCommand.REGION_WRITE,
                Client.access(4, 0x10, 2, (byte) 0x34, (byte) 0x12),
                0));
    assertEquals(0x1234, write.data().getShort());
    assertEquals(2, write.data().limit());
  }

  @Test
  void refusalsSayWhatTheyAre() {
    CommandRefused feature =
        assertThrows(
            CommandRefused.class, () -> decode(VfioUserCommand.DEVICE_FEATURE, new byte[8], 0));
    assertEquals(Errno.EOPNOTSUPP, feature.errno());
    assertEquals("DEVICE_FEATURE is not served", feature.getMessage());
  }
}
