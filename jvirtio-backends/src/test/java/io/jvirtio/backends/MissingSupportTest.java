// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import static io.jvirtio.backends.ImageDriver.SECTOR;
import static io.jvirtio.backends.ImageDriver.pattern;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.backends.RawFileOptions.Engine;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.CacheMode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.extension.AnnotatedElementContext;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.io.TempDirFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Write zeroes on a file system in memory, which cannot make zeroes in place: they are written. */
class MissingSupportTest {
  private static final int CAPACITY = 4 << 20;

  @TempDir(factory = SharedMemory.class)
  Path folder;

  static final class SharedMemory implements TempDirFactory {
    @Override
    public Path createTempDirectory(AnnotatedElementContext element, ExtensionContext extension)
        throws IOException {
      return Files.createTempDirectory(Path.of("/dev/shm"), "images");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "AUTO, WRITEBACK",
    "AUTO, WRITETHROUGH",
    "WORKERS, WRITEBACK",
    "WORKERS, WRITETHROUGH",
  })
  void zeroesAreWrittenWhereTheyCannotBeMade(Engine engine, CacheMode cache) throws IOException {
    Path path = ImageDriver.sparse(folder, CAPACITY);
    byte[] expected = pattern(CAPACITY, 1);
    Files.write(path, expected);
    // More than the buffer of zeroes holds, and not a multiple of it.
    int sectors = 3 * Zeroes.SIZE / SECTOR - 5;
    try (ImageDriver driver =
        new ImageDriver(
            ImageDriver.options(path, engine, false), BlkOptions.builder().cache(cache).build())) {
      assertEquals(VIRTIO_BLK_S_OK, driver.writeZeroes(3, sectors, false));
      assertEquals(VIRTIO_BLK_S_OK, driver.writeZeroes(sectors + 100, 1, false));
      assertEquals(VIRTIO_BLK_S_OK, driver.writeZeroes(sectors + 200, 8, true));
    }
    Arrays.fill(expected, 3 * SECTOR, (3 + sectors) * SECTOR, (byte) 0);
    Arrays.fill(expected, (sectors + 100) * SECTOR, (sectors + 101) * SECTOR, (byte) 0);
    Arrays.fill(expected, (sectors + 200) * SECTOR, (sectors + 208) * SECTOR, (byte) 0);
    assertArrayEquals(expected, Files.readAllBytes(path));
  }
}
