// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a PCI function is. Immutable.
 *
 * @param bus 0 to 255
 * @param device 0 to 31
 * @param function 0 to 7
 */
record PciAddress(int bus, int device, int function) {
  private static final Pattern FORM =
      Pattern.compile("(?:0{1,4}:)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\\.([0-7])");

  PciAddress {
    if (bus < 0 || bus > 255 || device < 0 || device > 31 || function < 0 || function > 7) {
      throw new IllegalArgumentException(bus + ":" + device + "." + function);
    }
  }

  /**
   * Reads 00:05.0 or 0000:00:05.0, in hexadecimal digits.
   *
   * @return null when it is none
   */
  static PciAddress parse(String text) {
    Matcher matcher = FORM.matcher(text);
    if (!matcher.matches()) {
      return null;
    }
    int device = Integer.parseInt(matcher.group(2), 16);
    return device > 31
        ? null
        : new PciAddress(
            Integer.parseInt(matcher.group(1), 16), device, Integer.parseInt(matcher.group(3)));
  }

  /** What port 0xcf8 takes, without the enable bit and the register. */
  int bits() {
    return bus << 16 | device << 11 | function << 8;
  }

  @Override
  public String toString() {
    return String.format("0000:%02x:%02x.%x", bus, device, function);
  }
}
