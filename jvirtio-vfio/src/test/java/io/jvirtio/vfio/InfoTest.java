// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.jvirtio.linux.Errno;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** What the server says of the function, and accesses of its registers. */
class InfoTest extends WithClient {
  @BeforeEach
  void negotiate() throws IOException {
    client.negotiate();
  }

  @Test
  void aPciDeviceThatCanBeReset() throws IOException {
    ByteBuffer info = client.call(VfioUserCommand.DEVICE_GET_INFO, Client.info(16, 0));
    assertEquals(16, info.getInt());
    assertEquals(3, info.getInt());
    assertEquals(9, info.getInt());
    assertEquals(5, info.getInt());
    assertFalse(info.hasRemaining());
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0, 0",
    "1, 3, 4096",
    "2, 0, 0",
    "3, 0, 0",
    "4, 3, 16384",
    "5, 0, 0",
    "6, 0, 0",
    "7, 3, 256",
    "8, 0, 0"
  })
  void regions(int index, int flags, long size) throws IOException {
    ByteBuffer info = client.call(VfioUserCommand.DEVICE_GET_REGION_INFO, Client.info(32, index));
    assertEquals(32, info.getInt());
    assertEquals(flags, info.getInt());
    assertEquals(index, info.getInt());
    assertEquals(0, info.getInt());
    assertEquals(size, info.getLong());
    assertEquals(0, info.getLong());
    ByteBuffer fds = client.call(VfioUserCommand.DEVICE_GET_REGION_IO_FDS, Client.info(16, index));
    assertEquals(16, fds.getInt());
    assertEquals(0, fds.getInt());
    assertEquals(index, fds.getInt());
    assertEquals(0, fds.getInt());
  }

  @ParameterizedTest
  @CsvSource({"0, 7, 1", "1, 0, 0", "2, 1, 4", "3, 1, 1", "4, 1, 1"})
  void interrupts(int index, int flags, int count) throws IOException {
    ByteBuffer info = client.call(VfioUserCommand.DEVICE_GET_IRQ_INFO, Client.info(16, index));
    assertEquals(16, info.getInt());
    assertEquals(flags, info.getInt());
    assertEquals(index, info.getInt());
    assertEquals(count, info.getInt());
  }

  @Test
  void longerStructuresOfLaterVersionsAreUnderstood() throws IOException {
    client.call(VfioUserCommand.DEVICE_GET_INFO, Client.info(24, 0));
    client.call(VfioUserCommand.DEVICE_GET_REGION_INFO, Client.info(64, 4));
  }

  @ParameterizedTest
  @EnumSource(
      value = VfioUserCommand.class,
      names = {"DEVICE_GET_REGION_INFO", "DEVICE_GET_REGION_IO_FDS", "DEVICE_GET_IRQ_INFO"})
  void anIndexThatThereIsNot(VfioUserCommand command) throws IOException {
    for (int index : new int[] {9, -1, Integer.MIN_VALUE, Integer.MAX_VALUE}) {
      assertEquals(Errno.EINVAL, client.refused(command, Client.info(32, index)));
    }
    assertEquals(Errno.EINVAL, client.refused(command, Client.info(12, 0)));
    byte[] small = Client.info(32, 0);
    small[0] = 8;
    assertEquals(Errno.EINVAL, client.refused(command, small));
  }

  @Test
  void theWholeConfigurationSpaceAtOnce() throws IOException {
    ByteBuffer all = client.call(VfioUserCommand.REGION_READ, Client.access(Client.CONFIG, 0, 256));
    assertEquals(16 + 256, all.capacity());
    for (int i = 0; i < 256; i++) {
      assertEquals(client.read(Client.CONFIG, i, 1), all.get(16 + i) & 0xff);
    }
    assertEquals(0x1af4, client.read(Client.CONFIG, 0, 2));
    assertEquals(0x1040 + 42, client.read(Client.CONFIG, 2, 2));
  }

  @Test
  void oddSizesAreDoneInPieces() throws IOException {
    ByteBuffer reply = client.call(VfioUserCommand.REGION_READ, Client.access(Client.CONFIG, 1, 7));
    for (int i = 0; i < 7; i++) {
      assertEquals(client.read(Client.CONFIG, 1 + i, 1), reply.get(16 + i) & 0xff);
    }
    byte[] three = {(byte) 0xff, (byte) 0xff, (byte) 0xff};
    client.call(VfioUserCommand.REGION_WRITE, Client.access(Client.CONFIG, 0x3c, 3, three));
    assertEquals(0xff, client.read(Client.CONFIG, 0x3c, 1));
    assertEquals(1, client.read(Client.CONFIG, 0x3d, 1));
  }

  @ParameterizedTest
  @CsvSource({
    "7, 256, 1",
    "7, 255, 2",
    "7, -1, 1",
    "7, 9223372036854775807, 4",
    "7, 0, 257",
    "7, 0, 0",
    "7, 0, -1",
    "4, 16384, 4",
    "4, 0, 1048577",
    "0, 0, 4",
    "6, 0, 4",
    "8, 0, 1",
    "9, 0, 4",
    "-1, 0, 4"
  })
  void accessesOutsideAreRefused(int region, long offset, int count) throws IOException {
    byte[] read = Client.access(region, offset, count);
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.REGION_READ, read));
    byte[] data = new byte[Math.clamp(count, 0, 1 << 20)];
    byte[] write = Client.access(region, offset, count, data);
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.REGION_WRITE, write));
    byte[] posted = Client.access(region, offset, count, data);
    client.send(VfioUserCommand.REGION_WRITE.id(), Client.NO_REPLY, posted);
    client.sync();
  }

  @Test
  void aPostedWriteIsNeverAnswered() throws IOException {
    client.post(Client.CONFIG, 0x3c, 1, 5);
    assertEquals(5, client.read(Client.CONFIG, 0x3c, 1));
  }

  @Test
  void manyWritesAtOnce() throws IOException {
    byte[] multi =
        Client.bytes(
            8 + 2 * 24,
            out ->
                out.putLong(2)
                    .putLong(0x3c)
                    .putInt(Client.CONFIG)
                    .putInt(1)
                    .putLong(7)
                    .putLong(4)
                    .putInt(Client.CONFIG)
                    .putInt(2)
                    .putLong(6));
    ByteBuffer reply = client.call(VfioUserCommand.REGION_WRITE_MULTI, multi);
    assertEquals(2, reply.getLong());
    assertEquals(7, client.read(Client.CONFIG, 0x3c, 1));
    assertEquals(6, client.read(Client.CONFIG, 4, 2));
    multi[8 + 8] = 9; // no such region, in the first
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.REGION_WRITE_MULTI, multi));
    multi[8 + 8] = 6; // one that this function has not
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.REGION_WRITE_MULTI, multi));
    multi[0] = 3;
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.REGION_WRITE_MULTI, multi));
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.REGION_WRITE_MULTI, new byte[7]));
  }
}
