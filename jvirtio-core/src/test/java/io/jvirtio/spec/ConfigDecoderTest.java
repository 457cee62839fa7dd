// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class ConfigDecoderTest {
  private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;

  @Test
  void aNetworkDeviceIsDecodedFieldByField() {
    byte[] config = HexFormat.of().parseHex("525400123456" + "0100" + "0400" + "dc05" + "10270000");
    FeatureBits offered =
        FeatureBits.of(
            VirtioNet.VIRTIO_NET_F_MAC, VirtioNet.VIRTIO_NET_F_STATUS, VirtioNet.VIRTIO_NET_F_RSS);

    List<ConfigDecoder.Value> values =
        ConfigDecoder.decode(VirtioNet.CONFIG, config, offered, LITTLE);

    assertEquals(
        List.of(
            "mac=52:54:00:12:34:56 present",
            "status=1 present",
            "max_virtqueue_pairs=4 present",
            "mtu=1500 not offered",
            "speed=10000 not offered",
            "duplex= not offered",
            "rss_max_key_size= cut off",
            "rss_max_indirection_table_length= cut off",
            "supported_hash_types= cut off",
            "supported_tunnel_types= not offered"),
        values.stream().map(ConfigDecoderTest::line).toList());
    assertFalse(values.get(0).numeric());
    assertTrue(values.get(1).numeric());
    assertEquals(6, values.get(1).field().offset());
  }

  private static String line(ConfigDecoder.Value value) {
    String state = value.present() ? "present" : value.offered() ? "cut off" : "not offered";
    return value.name() + "=" + value.text() + " " + state;
  }

  @Test
  void aFieldCutInTheMiddleIsAbsent() {
    for (int length = 0; length <= 8; length++) {
      ConfigDecoder.Value cid =
          ConfigDecoder.decode(VirtioVsock.CONFIG, new byte[length], FeatureBits.NONE, LITTLE)
              .getFirst();
      assertEquals(length == 8, cid.complete());
      assertEquals(length == 8, cid.present());
      assertEquals(length == 8 ? "0" : "", cid.text());
    }
  }

  @Test
  void numbersAreUnsignedAndInTheOrderAskedFor() {
    byte[] config = HexFormat.of().parseHex("ffffffffffffff01");
    assertEquals("144115188075855871", first(VirtioVsock.CONFIG, config, LITTLE));
    assertEquals("18446744073709551361", first(VirtioVsock.CONFIG, config, ByteOrder.BIG_ENDIAN));
    assertEquals("65535", first(VirtioCan.CONFIG, config, LITTLE));
    assertEquals("255", first(VirtioRpmb.CONFIG, config, LITTLE));
    assertEquals("4294967295", first(VirtioSound.CONFIG, config, LITTLE));
    byte[] rows = HexFormat.of().parseHex("0018");
    assertEquals("24", first(VirtioConsole.CONFIG, rows, ByteOrder.BIG_ENDIAN));
    assertEquals("6144", first(VirtioConsole.CONFIG, rows, LITTLE));
  }

  @Test
  void arraysAreNumbersWithCommasAndBytesHexadecimal() {
    byte[] config = new byte[136];
    config[0] = 3;
    config[2] = 8;
    config[3] = -1;
    config[8] = 6;
    config[135] = (byte) 0xa5;
    List<ConfigDecoder.Value> values =
        ConfigDecoder.decode(VirtioInput.CONFIG, config, FeatureBits.NONE, LITTLE);
    assertEquals(
        "3 0 8 255,0,0,0,0 06" + "00".repeat(126) + "a5",
        values.stream().map(ConfigDecoder.Value::text).collect(Collectors.joining(" ")));
    assertFalse(values.get(3).numeric());
    assertFalse(values.get(4).numeric());
  }

  @Test
  void tagsAreTextWithNothingThatATerminalActsOn() {
    assertEquals("shared", tag("shared".getBytes(StandardCharsets.UTF_8)));
    assertEquals("", tag(new byte[0]));
    assertEquals("müll 火", tag("müll 火".getBytes(StandardCharsets.UTF_8)));
    assertEquals("a".repeat(36), tag("a".repeat(36).getBytes(StandardCharsets.UTF_8)));
    assertEquals("a\\x00b", tag(new byte[] {'a', 0, 'b', 0}));
    assertEquals("\\x1b[2J\\x07\\x0a\\x7f\\\\", tag("\033[2J\007\n\177\\".getBytes()));
    assertEquals("\\u{202e}x", tag("\u202ex".getBytes(StandardCharsets.UTF_8)));
    assertEquals("\\u{9b}", tag("\u009b".getBytes(StandardCharsets.UTF_8)));
    assertEquals("\\xff\\x1ba\\xc3", tag(new byte[] {(byte) 0xff, 27, 'a', (byte) 0xc3}));
  }

  private static String tag(byte[] tag) {
    return first(VirtioFs.CONFIG, Arrays.copyOf(tag, 44), LITTLE);
  }

  private static String first(Struct struct, byte[] config, ByteOrder order) {
    return ConfigDecoder.decode(struct, config, FeatureBits.NONE, order).getFirst().text();
  }

  @Test
  void anyBytesAreDecoded() {
    Random random = new Random(2);
    for (DeviceType type : DeviceType.values()) {
      for (int i = 0; i < 500; i++) {
        byte[] config = new byte[random.nextInt(2 * type.config().size() + 2)];
        random.nextBytes(config);
        FeatureBits offered = new FeatureBits(random.nextLong(), random.nextLong());
        ByteOrder order = random.nextBoolean() ? LITTLE : ByteOrder.BIG_ENDIAN;
        List<ConfigDecoder.Value> values =
            ConfigDecoder.decode(type.config(), config, offered, order);
        assertEquals(type.config().fields().size(), values.size());
        for (ConfigDecoder.Value value : values) {
          assertEquals(!value.complete(), value.text().isEmpty() && !isText(value), value.name());
          assertTrue(value.text().codePoints().allMatch(ConfigDecoder::isPrintable));
          assertEquals(
              value.field().offset() + value.field().size() <= config.length, value.complete());
        }
      }
    }
  }

  private static boolean isText(ConfigDecoder.Value value) {
    return value.complete() && value.field().format() == Struct.Format.TEXT;
  }
}
