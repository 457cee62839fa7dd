// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Numbers of bytes as people write them: 4096, 64K, 256M, 1G (powers of 1024). */
final class Sizes implements ITypeConverter<Long> {
  private static final String UNITS = "KMGT";
  private static final Pattern SIZE = Pattern.compile("(\\d{1,18})([KMGTkmgt]?)(?:i?[Bb])?");

  /** For picocli. */
  Sizes() {}

  @Override
  public Long convert(String text) {
    Matcher matcher = SIZE.matcher(text);
    if (!matcher.matches()) {
      throw new TypeConversionException(
          "'" + text + "' is no size: bytes, or a number with K, M, G or T");
    }
    int shift =
        matcher.group(2).isEmpty()
            ? 0
            : 10 * (UNITS.indexOf(matcher.group(2).toUpperCase(Locale.ROOT)) + 1);
    long number = Long.parseLong(matcher.group(1));
    if (number > Long.MAX_VALUE >> shift) {
      throw new TypeConversionException("'" + text + "' is too large");
    }
    return number << shift;
  }

  /** A number of bytes for people, such as {@code 1.5 GiB}. */
  static String text(long bytes) {
    if (bytes < 1024) {
      return bytes + " B";
    }
    double value = bytes;
    int unit = -1;
    // What would be shown as 1024 is 1 of the next.
    while (value >= 1023.5 && unit < UNITS.length() - 1) {
      value /= 1024;
      unit++;
    }
    String number = String.format(Locale.ROOT, value < 10 ? "%.1f" : "%.0f", value);
    return number.replaceFirst("\\.0$", "") + " " + UNITS.charAt(unit) + "iB";
  }
}
