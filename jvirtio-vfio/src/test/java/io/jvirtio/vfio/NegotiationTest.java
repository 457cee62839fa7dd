// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.Errno;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class NegotiationTest extends WithClient {
  private String reply(int minor, String data) throws IOException {
    ByteBuffer reply = client.call(VfioUserCommand.VERSION, Client.version(0, minor, data));
    assertEquals(0, reply.getShort());
    assertTrue(reply.getShort() <= minor);
    assertEquals(0, reply.get(reply.limit() - 1));
    byte[] text = new byte[reply.remaining() - 1];
    reply.get(text);
    return new String(text, StandardCharsets.UTF_8);
  }

  @Test
  void whatTheClientNamesIsAnswered() throws IOException {
    String data =
        "{\"capabilities\": {\"migration\": {\"pgsize\": 4096, \"max_bitmap_size\": 268435456},"
            + " \"max_msg_fds\": 16, \"max_data_xfer_size\": 1048576, \"pgsizes\": 4096,"
            + " \"max_dma_maps\": 65535, \"write_multiple\": true}}";
    String answer = reply(0, data);
    assertEquals(
        "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,"
            + "\"max_dma_maps\":4096,\"pgsizes\":4096,\"write_multiple\":true}}",
        answer);
    assertTrue(answer.length() <= data.length());
    client.sync();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{}|",
        "{\"capabilities\":{}}|",
        "{\"capabilities\":{\"max_msg_fds\":1}}|\"max_msg_fds\":16",
        " { \"other\" : [ 1 , -2.5e3, null, \"\\u0041\\n\" ], \"capabilities\" : { } } |",
        "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}|",
      })
  void nothingElseIs(String data, String named) throws IOException {
    assertEquals("{\"capabilities\":{" + (named == null ? "" : named) + "}}", reply(7, data));
    client.sync();
  }

  @Test
  void versionDataIsOptional() throws IOException {
    assertEquals("{\"capabilities\":{}}", reply(1, null));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "{",
        "[]",
        "nul",
        "{\"capabilities\":1}",
        "{\"capabilities\":{\"max_msg_fds\":\"16\"}}",
        "{\"capabilities\":{\"max_msg_fds\":-1}}",
        "{\"capabilities\":{\"max_msg_fds\":1.5}}",
        "{\"capabilities\":{\"max_msg_fds\":99999999999999999999}}",
        "{\"capabilities\":{\"write_multiple\":1}}",
        "{\"capabilities\":{}} {}",
        "{\"capabilities\":{},}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12zz\"}",
        "{\"a\":\"open",
        "{\"a\" 1}",
        "{1:1}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "[1 2]",
        "-",
      })
  void malformedVersionDataIsRefused(String data) throws IOException {
    byte[] version = Client.version(0, 0, data);
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.VERSION, version));
    client.negotiate();
    client.sync();
  }

  @Test
  void versionDataWithoutItsEndIsRefused() throws IOException {
    byte[] version = Client.version(0, 0, "{}");
    version[version.length - 1] = ' ';
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.VERSION, version));
    version[version.length - 1] = 0;
    version[4] = (byte) 0xff;
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.VERSION, version));
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.VERSION, new byte[5000]));
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.VERSION, new byte[3]));
  }

  @Test
  void anotherMajorVersionIsSentAway() throws IOException {
    client.send(VfioUserCommand.VERSION, Client.version(1, 0, null));
    client.expectEnd();
  }

  @Test
  void aSecondVersionIsSentAway() throws IOException {
    client.negotiate();
    client.send(VfioUserCommand.VERSION, Client.version(0, 0, null));
    client.expectEnd();
  }

  @ParameterizedTest
  @EnumSource(value = VfioUserCommand.class, mode = EnumSource.Mode.EXCLUDE, names = "VERSION")
  void nothingGoesBeforeVersion(VfioUserCommand command) throws IOException {
    client.send(command, new byte[0]);
    client.expectEnd();
  }
}
