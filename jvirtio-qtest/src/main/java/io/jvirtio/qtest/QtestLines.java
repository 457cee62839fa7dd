// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** The lines of the qtest protocol: cuts what is received into them, checks them, takes numbers. */
final class QtestLines {
  /** The most bytes of a request, its end included. */
  static final int MAX_REQUEST = 513;

  /** The most characters of a line from QEMU; the replies asked for here are far shorter. */
  static final int MAX_LINE = 4096;

  private static final int SHOWN = 80;

  /** Gets each line. */
  @FunctionalInterface
  interface Sink {
    void accept(String line) throws IOException;
  }

  private final Sink sink;
  private final StringBuilder pending = new StringBuilder();

  QtestLines(Sink sink) {
    this.sink = sink;
  }

  /**
   * Takes what was received.
   *
   * @throws IOException when a line is too long, or the sink throws
   */
  void add(String text) throws IOException {
    int start = 0;
    for (int end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      append(text, start, end);
      String line = pending.toString();
      pending.setLength(0);
      start = end + 1;
      sink.accept(line.endsWith("\r") ? line.substring(0, line.length() - 1) : line);
    }
    append(text, start, text.length());
  }

  private void append(String text, int start, int end) throws IOException {
    if (end - start > MAX_LINE - pending.length()) {
      throw new IOException("a line of more than " + MAX_LINE + " bytes: " + printable(text));
    }
    pending.append(text, start, end);
  }

  /** The bytes of a request. QEMU would run two if there were a line feed in it. */
  static byte[] request(String line) {
    if (line.isBlank()
        || line.length() >= MAX_REQUEST
        || !line.chars().allMatch(c -> c >= ' ' && c < 127)) {
      throw new IllegalArgumentException("request: " + printable(line));
    }
    return (line + "\n").getBytes(StandardCharsets.US_ASCII);
  }

  /** What follows the OK of a reply. */
  static String reply(String request, String line) throws IOException {
    if (line.equals("OK")) {
      return "";
    }
    if (line.startsWith("OK ")) {
      return line.substring(3).strip();
    }
    if (line.startsWith("FAIL") || line.startsWith("ERR")) {
      throw new QtestException(request + ": " + printable(line));
    }
    throw new IOException("the answer to " + request + " is " + printable(line));
  }

  /** A number of a reply: 0x and up to 16 digits; what is above the width is an error. */
  static long number(String text, int width) throws IOException {
    boolean valid = text.startsWith("0x") && text.length() > 2 && text.length() <= 18;
    for (int i = 2; valid && i < text.length(); i++) {
      valid = text.charAt(i) < 128 && Character.digit(text.charAt(i), 16) >= 0;
    }
    long value = valid ? Long.parseUnsignedLong(text, 2, text.length(), 16) : 0;
    if (!valid || width < 8 && value >>> 8 * width != 0) {
      throw new IOException("no number of " + width + " bytes: " + printable(text));
    }
    return value;
  }

  /** The number of an interrupt line, of "IRQ raise N" or "IRQ lower N". */
  static int line(String text) throws IOException {
    int at = "IRQ raise ".length();
    if (text.matches("IRQ (raise|lower) [0-9]{1,3}")) {
      int line = Integer.parseInt(text.substring(at));
      if (line < QtestSession.LINES) {
        return line;
      }
    }
    throw new IOException("no interrupt line: " + printable(text));
  }

  /** The last letter of a request, for its width. */
  static char suffix(int width) {
    return switch (width) {
      case 1 -> 'b';
      case 2 -> 'w';
      case 4 -> 'l';
      case 8 -> 'q';
      default -> throw new IllegalArgumentException("width of " + width);
    };
  }

  /** A value as the last word of a request. */
  static String hex(long value, int width) {
    long part = width == 8 ? value : value & (1L << 8 * width) - 1;
    return " 0x" + Long.toHexString(part);
  }

  /** The beginning of what a peer has sent, fit for a log. */
  static String printable(String text) {
    String shown = text.length() > SHOWN ? text.substring(0, SHOWN) + "..." : text;
    return '"' + shown.replaceAll("[^ -~]", "?") + '"';
  }
}
