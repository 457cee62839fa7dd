// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** The format newc, byte by byte. */
class CpioWriterTest {
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

  private int field(int header, int number) {
    String archive = bytes.toString(StandardCharsets.ISO_8859_1);
    int start = header + 6 + 8 * number;
    return Integer.parseInt(archive.substring(start, start + 8), 16);
  }

  @Test
  void fileDirectoryDeviceAndTrailer() throws IOException {
    try (CpioWriter cpio = new CpioWriter(bytes)) {
      cpio.directory("d");
      cpio.file("d/abc", 0755, "hello".getBytes(StandardCharsets.US_ASCII));
      cpio.characterDevice("c", 5, 1);
    }
    String archive = bytes.toString(StandardCharsets.ISO_8859_1);
    assertEquals("070701", archive.substring(0, 6));
    assertEquals(0040755, field(0, 1));
    assertEquals(2, field(0, 11));
    // 110 bytes of header, "d" and NUL: a multiple of 4 already.
    int file = 112;
    assertEquals("070701", archive.substring(file, file + 6));
    assertEquals(0100755, field(file, 1));
    assertEquals(5, field(file, 6));
    assertEquals("d/abc\0", archive.substring(file + 110, file + 116));
    assertEquals("hello\0\0\0", archive.substring(file + 116, file + 124));
    int device = file + 124;
    assertEquals(0020600, field(device, 1));
    assertEquals(5, field(device, 9));
    assertEquals(1, field(device, 10));
    int trailer = device + 112;
    assertEquals("TRAILER!!!\0", archive.substring(trailer + 110, trailer + 121));
    assertEquals(0, archive.length() % 4);
  }
}
