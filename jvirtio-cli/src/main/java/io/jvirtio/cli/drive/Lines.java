// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import java.util.ArrayList;
import java.util.List;

/** Lines for people. */
final class Lines {
  private static final int WIDTH = 78;

  private Lines() {}

  /**
   * Items with commas, in as many lines as they need.
   *
   * @param title stands before the first
   * @param indent where the items begin
   */
  static List<String> wrapped(String title, int indent, List<String> items) {
    List<String> lines = new ArrayList<>();
    StringBuilder line = new StringBuilder(String.format("%-" + indent + "s", title));
    String separator = "";
    for (String item : items) {
      if (line.length() + separator.length() + item.length() > WIDTH && !separator.isEmpty()) {
        lines.add(line + ",");
        line = new StringBuilder(" ".repeat(indent));
        separator = "";
      }
      line.append(separator).append(item);
      separator = ", ";
    }
    lines.add(line.toString());
    return lines;
  }
}
