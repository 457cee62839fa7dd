// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class ZerosTest {
  @Test
  void everyByteCounts() {
    byte[] bytes = new byte[200_000];
    MemorySegment data = MemorySegment.ofArray(bytes);
    assertTrue(Zeros.are(data, 0, bytes.length));
    assertTrue(Zeros.are(data, 5, 5));
    for (int at : new int[] {0, 65_535, 65_536, 199_999}) {
      bytes[at] = 1;
      assertFalse(Zeros.are(data, 0, bytes.length), "at " + at);
      assertTrue(Zeros.are(data, at + 1, bytes.length), "behind " + at);
      bytes[at] = 0;
    }
  }

  @Test
  void runsEndWhereTheKindChanges() {
    byte[] bytes = new byte[1000];
    bytes[250] = 1;
    bytes[399] = 1;
    MemorySegment data = MemorySegment.ofArray(bytes);
    assertEquals(200, Zeros.endOfRun(data, 0, 1000, 100));
    assertEquals(400, Zeros.endOfRun(data, 200, 1000, 100));
    assertEquals(1000, Zeros.endOfRun(data, 400, 1000, 100));
    // The last unit may be a part.
    assertEquals(450, Zeros.endOfRun(data, 400, 450, 100));
    assertEquals(260, Zeros.endOfRun(data, 200, 260, 100));
  }
}
