// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** What scripts/lab made (docs/testing.md). Immutable. */
final class Lab {
  private static final Map<String, String> VALUES = read();

  private Lab() {}

  private static Map<String, String> read() {
    String file = System.getenv("JVIRTIO_LAB");
    if (file == null) {
      throw new AssertionError("JVIRTIO_LAB is not set: start these tests by scripts/guest-tests");
    }
    Map<String, String> values = new HashMap<>();
    try {
      for (String line : Files.readAllLines(Path.of(file))) {
        int equals = line.indexOf('=');
        values.put(line.substring(0, equals), line.substring(equals + 1));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return values;
  }

  /** A file or folder of the lab, by its key in lab.env. */
  static Path path(String key) {
    String value = VALUES.get(key);
    if (value == null) {
      throw new AssertionError("the lab has no " + key + ": run scripts/lab full");
    }
    return Path.of(value);
  }

  /** The checkout, or its copy, that is tested. */
  static Path home() {
    return Path.of(System.getProperty("jvirtio.home"));
  }
}
