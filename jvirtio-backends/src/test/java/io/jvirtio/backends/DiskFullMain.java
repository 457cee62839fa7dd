// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.backends.RawFileOptions.Engine;
import java.io.IOException;
import java.nio.file.Path;

/** Writes to an image that must not grow: started by {@link DiskFullTest} under a limit. */
final class DiskFullMain {
  private DiskFullMain() {}

  /**
   * Prints the status of a write below the limit, one across it, one above it, a flush, and the
   * count of errors.
   *
   * @param args the image, the engine, the limit in bytes
   */
  public static void main(String[] args) throws IOException {
    Path path = Path.of(args[0]);
    int sectors = Integer.parseInt(args[2]) / ImageDriver.SECTOR;
    byte[] data = ImageDriver.pattern(8 * ImageDriver.SECTOR, 1);
    try (ImageDriver driver =
        new ImageDriver(ImageDriver.options(path, Engine.valueOf(args[1]), false))) {
      int below = driver.write(sectors - 8, data);
      int across = driver.write(sectors - 4, data);
      int above = driver.write(sectors + 100, data);
      int flush = driver.flush();
      long errors = driver.stats().ioErrors();
      System.out.printf("%d %d %d %d, %d errors%n", below, across, above, flush, errors);
    }
  }
}
