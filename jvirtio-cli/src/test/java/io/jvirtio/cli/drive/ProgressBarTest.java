// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ProgressBarTest {
  private static final long SECOND = 1_000_000_000L;

  @Test
  void sharesRatesAndTimes() {
    assertEquals(
        "writing    [................]   0 %  0 B of 1 GiB, 0 B/s",
        ProgressBar.line("writing", 0, 1 << 30, 0));
    assertEquals(
        "writing    [########........]  50 %  512 MiB of 1 GiB, 256 MiB/s, 2 s left",
        ProgressBar.line("writing", 1 << 29, 1 << 30, 2 * SECOND));
    assertEquals(
        "writing    [################] 100 %  1 GiB of 1 GiB, 256 MiB/s",
        ProgressBar.line("writing", 1 << 30, 1 << 30, 4 * SECOND));
    assertEquals(
        "writing    [################] 100 %  0 B of 0 B, 0 B/s",
        ProgressBar.line("writing", 0, 0, SECOND));
  }

  @Test
  void neverSaysAllBeforeItIs() {
    assertTrue(
        ProgressBar.line("x", (1L << 40) - 1, 1L << 40, SECOND).contains(" 99 %"), "too early");
  }

  @Test
  void fitsATerminal() {
    long most = 1L << 45;
    String line = ProgressBar.line("comparing", most / 3, most, 36_000 * SECOND);
    assertTrue(line.length() < 80, line);
  }

  @Test
  void isDrawnOverOnATerminalAndTakenAway() throws InterruptedException {
    StringWriter text = new StringWriter();
    try (ProgressBar bar = new ProgressBar(new PrintWriter(text), true, "reading", 100)) {
      bar.done(50);
      while (!text.toString().contains(" 50 %")) {
        Thread.sleep(1);
      }
    }
    assertTrue(text.toString().startsWith("\r\033[Kreading"), text.toString());
    assertTrue(text.toString().endsWith("\r\033[K"), text.toString());
    assertEquals(-1, text.toString().indexOf('\n'));
  }

  @Test
  void elsewhereThereIsNothingAtOnce() {
    StringWriter text = new StringWriter();
    try (ProgressBar bar = new ProgressBar(new PrintWriter(text), false, "reading", 100)) {
      bar.done(100);
    }
    assertEquals("", text.toString());
  }
}
