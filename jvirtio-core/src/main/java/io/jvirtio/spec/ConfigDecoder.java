// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.StringJoiner;

/**
 * Reads the bytes of a configuration space, field by field, for people (virtio 1.4, Basic
 * Facilities of a Virtio Device / Device Configuration Space).
 *
 * <p>The bytes may come from a hostile device: any number and any content of them is read without
 * an exception, and no text holds a control character. Stateless and thread-safe.
 */
public final class ConfigDecoder {
  /**
   * One field with what it holds.
   *
   * @param field its declaration
   * @param text the content: a decimal number, several with commas between them, a MAC address, a
   *     string with everything but printable characters escaped, or bytes in hexadecimal; empty
   *     where the bytes end before the field does
   * @param numeric whether the text is one unsigned decimal number, up to 2^64 - 1
   * @param offered whether the device offers a feature with which the field exists
   * @param complete whether the bytes cover the field
   */
  public record Value(
      Struct.Field field, String text, boolean numeric, boolean offered, boolean complete) {
    /** The specification's name of the field. */
    public String name() {
      return field.name();
    }

    /** Whether the device has the field: it is offered, and its bytes are there. */
    public boolean present() {
      return offered && complete;
    }
  }

  private ConfigDecoder() {}

  /**
   * Decodes all fields of a structure, in the order of their offsets.
   *
   * @param struct the layout
   * @param config the bytes from the start of the configuration space, as many as are known; what
   *     lies behind the end of the structure is ignored
   * @param offered the features that the device offers
   * @param order little-endian, except on the legacy interface of a big-endian guest
   */
  public static List<Value> decode(
      Struct struct, byte[] config, FeatureBits offered, ByteOrder order) {
    List<Value> result = new ArrayList<>();
    for (Struct.Field field : struct.fields()) {
      boolean complete = covers(config, field);
      boolean numeric = field.format() == Struct.Format.DECIMAL && field.count() == 1;
      String text = complete ? text(field, config, order) : "";
      result.add(new Value(field, text, numeric, field.existsWith(offered), complete));
    }
    return List.copyOf(result);
  }

  static boolean covers(byte[] config, Struct.Field field) {
    return field.offset() + field.size() <= config.length;
  }

  /** One element of a field whose bytes are there, as an unsigned number. */
  static long number(Struct.Field field, int index, byte[] config, ByteOrder order) {
    int size = field.type().size();
    int at = field.offset() + index * size;
    long value = 0;
    for (int i = 0; i < size; i++) {
      int next = order == ByteOrder.BIG_ENDIAN ? at + i : at + size - 1 - i;
      value = value << 8 | config[next] & 0xff;
    }
    return value;
  }

  /** The content of a field whose bytes are there. */
  static String text(Struct.Field field, byte[] config, ByteOrder order) {
    int from = field.offset();
    int to = from + field.size();
    return switch (field.format()) {
      case DECIMAL -> {
        StringJoiner numbers = new StringJoiner(",");
        for (int i = 0; i < field.count(); i++) {
          numbers.add(Long.toUnsignedString(number(field, i, config, order)));
        }
        yield numbers.toString();
      }
      case MAC -> HexFormat.ofDelimiter(":").formatHex(config, from, to);
      case HEX -> HexFormat.of().formatHex(config, from, to);
      case TEXT -> string(config, from, to);
    };
  }

  /** The padding at the end is left out. */
  private static String string(byte[] config, int from, int to) {
    int end = to;
    while (end > from && config[end - 1] == 0) {
      end--;
    }
    StringBuilder result = new StringBuilder();
    try {
      StandardCharsets.UTF_8
          .newDecoder()
          .decode(ByteBuffer.wrap(config, from, end - from))
          .codePoints()
          .forEach(c -> append(result, c));
    } catch (CharacterCodingException notUtf8) {
      for (int i = from; i < end; i++) {
        int c = config[i] & 0xff;
        if (c < 0x80) {
          append(result, c);
        } else {
          result.append(String.format("\\x%02x", c));
        }
      }
    }
    return result.toString();
  }

  private static void append(StringBuilder result, int c) {
    if (c == '\\') {
      result.append("\\\\");
    } else if (isPrintable(c)) {
      result.appendCodePoint(c);
    } else {
      result.append(String.format(c < 0x80 ? "\\x%02x" : "\\u{%x}", c));
    }
  }

  /** Format characters are not: they can turn the direction of what stands around them. */
  static boolean isPrintable(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      default -> true;
    };
  }
}
