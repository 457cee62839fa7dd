// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.driver.DriverDevice.State;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A server that turns bad while a disk is in use. */
@Timeout(120)
class BadRelayTest {
  @TempDir private Path folder;

  private static MemorySegment sector(int seed) {
    return MemorySegment.ofArray(DiskTest.pattern(seed, 512));
  }

  @Test
  void silenceIsALostDevice() throws IOException {
    try (Disk disk = new Disk(folder, DiskTest.Kind.MODERN_INTX, true, Duration.ofSeconds(3))) {
      disk.driver.write(0, sector(1));
      disk.relay.silent = true;
      // An interrupt leads to a register that is not read; what was done by then may be found.
      Await.until(
          "it is lost",
          () -> {
            disk.driver.writeAsync(512, sector(2)).handle((done, failure) -> done).join();
            return disk.driver.device().state() == State.LOST;
          });
      assertThrows(IOException.class, () -> disk.driver.write(0, sector(3)));
    }
  }

  @Test
  void descriptorsThatNobodyAskedForAreClosed() throws IOException {
    try (Disk disk = new Disk(folder, DiskTest.Kind.MODERN_INTX, true, Duration.ofSeconds(20))) {
      disk.driver.write(0, sector(1));
      List<String> before = Await.descriptors();
      disk.relay.generous = true;
      for (int i = 0; i < 20; i++) {
        disk.driver.write(512L * i, sector(i));
      }
      disk.relay.generous = false;
      assertArrayEquals(DiskTest.pattern(19, 512), disk.data.read(512 * 19, 512));
      Await.descriptors(before);
    }
  }
}
