// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;

/** Bytes that can be told from others. */
final class Patterns {
  private Patterns() {}

  /** Random bytes, the same for the same seed. */
  static byte[] random(long seed, int length) {
    byte[] bytes = new byte[length];
    new Random(seed).nextBytes(bytes);
    return bytes;
  }

  /** A new file of them. */
  static Path image(Path folder, String name, long seed, int length) throws IOException {
    return Files.write(folder.resolve(name), random(seed, length));
  }

  /** Fails at the first byte that differs. */
  static void assertSame(byte[] expected, byte[] actual, String what) {
    assertEquals(expected.length, actual.length, what);
    assertEquals(-1, Arrays.mismatch(expected, actual), what + " differs at");
  }

  /** Fails at the first byte that differs. */
  static void assertSame(byte[] expected, MemorySegment actual, String what) {
    assertEquals(-1, MemorySegment.ofArray(expected).mismatch(actual), what + " differs at");
  }
}
