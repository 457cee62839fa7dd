// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.stream.Stream;

/** Images for block devices under measurement, and the folders that they are in. */
final class Images {
  private static final int MIB = 256;

  private Images() {}

  /** Random bytes: a file of holes would not be read as a file of data is. */
  static void fill(Path image) throws IOException {
    byte[] mib = new byte[1 << 20];
    Random random = new Random(1);
    try (OutputStream out = Files.newOutputStream(image)) {
      for (int i = 0; i < MIB; i++) {
        random.nextBytes(mib);
        out.write(mib);
      }
    }
  }

  /** Deletes a folder and the files in it. */
  static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.toList()) {
        Files.deleteIfExists(file);
      }
    }
    Files.deleteIfExists(folder);
  }
}
