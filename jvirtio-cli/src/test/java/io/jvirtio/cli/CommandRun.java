// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;

/** One command, run in this process. */
record CommandRun(int code, String out, String err) {
  static CommandRun of(String... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out, true), new PrintWriter(err, true), args);
    return new CommandRun(code, out.toString(), err.toString());
  }

  CommandRun assertOk() {
    assertEquals(0, code, err);
    return this;
  }

  /** Failed with one line that has all these parts, and without an answer. */
  void assertFails(int expected, String... parts) {
    assertEquals(expected, code, err + out);
    assertEquals(1, err.lines().count(), err);
    for (String part : parts) {
      assertTrue(err.contains(part), err + " lacks: " + part);
    }
    assertEquals("", out);
  }

  CommandRun assertPrints(String... parts) {
    for (String part : parts) {
      assertTrue(out.contains(part), out + " lacks: " + part);
    }
    return this;
  }
}
