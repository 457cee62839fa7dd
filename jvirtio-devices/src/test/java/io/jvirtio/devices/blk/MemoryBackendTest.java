// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.device.InlineOwner;
import org.junit.jupiter.api.Test;

/** The memory back end by itself. */
class MemoryBackendTest {
  private static final int CHUNK = MemoryBackend.CHUNK;

  private final MemoryBackend disk = new MemoryBackend(4 * CHUNK);

  @Test
  void memoryIsTakenForWhatWasWritten() {
    assertEquals(0, disk.allocated());
    disk.write(CHUNK - 10, BlkDriver.pattern(20, 1));
    assertEquals(2 * CHUNK, disk.allocated());
    assertArrayEquals(BlkDriver.pattern(20, 1), disk.read(CHUNK - 10, 20));
    assertArrayEquals(new byte[100], disk.read(3 * CHUNK, 100));
  }

  @Test
  void onlyWholeChunksAreDropped() {
    disk.write(0, BlkDriver.pattern(4 * CHUNK, 1));
    disk.zero(100, 2L * CHUNK, true);
    assertEquals(3 * CHUNK, disk.allocated());
    assertArrayEquals(new byte[2 * CHUNK], disk.read(100, 2 * CHUNK));
    assertArrayEquals(BlkDriver.pattern(100, 1), disk.read(0, 100));
  }

  @Test
  void resizeKeepsWhatRemains() {
    disk.write(0, BlkDriver.pattern(4 * CHUNK, 1));
    disk.resize(CHUNK);
    assertEquals(CHUNK, disk.capacity());
    disk.resize(2 * CHUNK);
    assertArrayEquals(BlkDriver.pattern(CHUNK, 1), disk.read(0, CHUNK));
    assertArrayEquals(new byte[CHUNK], disk.read(CHUNK, CHUNK));
  }

  @Test
  void aFullChannelRefusesMore() {
    try (BlockChannel channel = disk.openChannel(new InlineOwner(), 1)) {
      BlockRequest request =
          new BlockRequest() {
            @Override
            public void completed(int result) {}
          };
      channel.flush(request);
      assertFalse(channel.hasRoom());
      assertThrows(IllegalStateException.class, () -> channel.flush(request));
    }
  }
}
