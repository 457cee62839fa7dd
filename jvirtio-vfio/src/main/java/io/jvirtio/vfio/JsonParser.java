// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Errno;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON (RFC 8259) from a peer: objects as maps, arrays as lists, whole numbers as {@link
 * Long}, other numbers as {@link Double}. As deep as {@link #MAX_DEPTH}.
 */
final class JsonParser {
  private static final int MAX_DEPTH = 16;

  private final String text;
  private int at;

  private JsonParser(String text) {
    this.text = text;
  }

  static Object parse(String text) throws CommandRefused {
    JsonParser parser = new JsonParser(text);
    Object value = parser.value(0);
    if (parser.next() != 0) {
      throw parser.malformed();
    }
    return value;
  }

  private CommandRefused malformed() {
    return new CommandRefused(Errno.EINVAL, "version data is no JSON at character " + at);
  }

  /** The next character that is no blank, which stays; 0 at the end. */
  private char next() {
    while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
    return at < text.length() ? text.charAt(at) : 0;
  }

  private boolean take(char expected) {
    if (next() != expected || expected == 0) {
      return false;
    }
    at++;
    return true;
  }

  private void expect(char expected) throws CommandRefused {
    if (!take(expected)) {
      throw malformed();
    }
  }

  private Object value(int depth) throws CommandRefused {
    if (depth > MAX_DEPTH) {
      throw malformed();
    }
    return switch (next()) {
      case '{' -> object(depth);
      case '[' -> array(depth);
      case '"' -> string();
      case 't' -> word("true", true);
      case 'f' -> word("false", false);
      case 'n' -> word("null", null);
      default -> number();
    };
  }

  private Map<String, Object> object(int depth) throws CommandRefused {
    Map<String, Object> members = new LinkedHashMap<>();
    expect('{');
    if (take('}')) {
      return members;
    }
    do {
      if (next() != '"') {
        throw malformed();
      }
      String name = string();
      expect(':');
      members.put(name, value(depth + 1));
    } while (take(','));
    expect('}');
    return members;
  }

  private List<Object> array(int depth) throws CommandRefused {
    List<Object> values = new ArrayList<>();
    expect('[');
    if (take(']')) {
      return values;
    }
    do {
      values.add(value(depth + 1));
    } while (take(','));
    expect(']');
    return values;
  }

  private Object word(String word, Object value) throws CommandRefused {
    if (!text.startsWith(word, at)) {
      throw malformed();
    }
    at += word.length();
    return value;
  }

  private String string() throws CommandRefused {
    expect('"');
    StringBuilder out = new StringBuilder();
    while (at < text.length()) {
      char c = text.charAt(at++);
      if (c == '"') {
        return out.toString();
      }
      if (c < ' ') {
        break;
      }
      out.append(c == '\\' ? escaped() : c);
    }
    throw malformed();
  }

  private char escaped() throws CommandRefused {
    char c = at < text.length() ? text.charAt(at++) : 0;
    int known = "\"\\/bfnrt".indexOf(c);
    if (known >= 0 && c != 0) {
      return "\"\\/\b\f\n\r\t".charAt(known);
    }
    if (c != 'u' || at + 4 > text.length()) {
      throw malformed();
    }
    int code = 0;
    for (int i = 0; i < 4; i++) {
      int digit = Character.digit(text.charAt(at++), 16);
      if (digit < 0) {
        throw malformed();
      }
      code = code << 4 | digit;
    }
    return (char) code;
  }

  private Object number() throws CommandRefused {
    int start = at;
    while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
    String digits = text.substring(start, at);
    try {
      if (digits.matches("-?(0|[1-9][0-9]*)")) {
        return Long.valueOf(digits);
      }
      return Double.valueOf(digits);
    } catch (NumberFormatException e) {
      throw malformed();
    }
  }
}
