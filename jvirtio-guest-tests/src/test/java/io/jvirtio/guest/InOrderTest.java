// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Linux as the driver of a device that keeps the order (virtio 1.4, In-order use of descriptors),
 * so that what it takes for several buffers is one used element.
 */
class InOrderTest {
  private static final int MIB = 1 << 20;
  private static final int SIZE = 32 * MIB;

  // Every read is from the device, not from the page cache. The second quarter of the data is
  // discarded where eight wrote it at once.
  private static final String EVERY_REQUEST =
      """
      say serial=$(cat /sys/block/vda/serial)
      dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
      say sum=$(sha256sum </tmp/data | cut -d' ' -f1)
      for i in 0 1 2 3 4 5 6 7; do
        dd if=/tmp/data of=/dev/vda bs=4096 skip=$((i * 128)) seek=$((i * 128)) count=128 \\
          oflag=direct 2>/dev/null &
      done
      wait
      for i in 0 1 2 3 4 5 6 7; do
        dd if=/dev/vda of=/tmp/back$i bs=4096 skip=$((i * 128)) count=128 iflag=direct \\
          2>/dev/null &
      done
      wait
      cat /tmp/back? | cmp - /tmp/data
      dd if=/tmp/data of=/dev/vda bs=4M seek=2 oflag=direct 2>/dev/null
      dd if=/dev/vda of=/tmp/back bs=4M skip=2 count=1 iflag=direct 2>/dev/null
      cmp /tmp/back /tmp/data
      dd if=/tmp/data of=/dev/vda bs=4096 seek=4096 conv=fsync 2>/dev/null
      echo 3 >/proc/sys/vm/drop_caches
      dd if=/dev/vda of=/tmp/back bs=4096 skip=4096 count=1024 2>/dev/null
      cmp /tmp/back /tmp/data
      blkdiscard -o 1048576 -l 1048576 /dev/vda
      dd if=/dev/vda of=/tmp/back bs=1M count=4 iflag=direct 2>/dev/null
      say discarded=$(sha256sum </tmp/back | cut -d' ' -f1)
      say features=$(cat /sys/block/vda/device/features)
      """;

  @TempDir Path folder;

  /** On a disk where the oldest request ends after others have. */
  @ParameterizedTest
  @ValueSource(strings = {"packed=off", "packed=on"})
  void deviceWaitsForTheOldestAndUsesAllAtOnce(String format) throws Exception {
    OvertakingBackend backend = new OvertakingBackend(SIZE);
    BlkOptions options = BlkOptions.builder().serial("overtaking").build();
    try (ServedDisk disk =
            new ServedDisk(
                backend,
                folder.resolve("disk.sock"),
                options,
                ServedDisk.WITH_IN_ORDER,
                Bus.VHOST_USER);
        Guest guest =
            Guest.on(Machine.BACKPORTS, folder)
                .cpus(2)
                .disk(disk.socket(), format, "in_order=on", "num-queues=1")
                .boot(EVERY_REQUEST)) {
      guest.awaitEnd();
      assertEquals("overtaking", guest.value("serial"));
      assertAccepted(format, "1", guest);
      assertContents(backend.contents(), guest);
      disk.assertNegotiated(format + ",in_order=on");
      assertTrue(disk.requests(BlkRequestType.FLUSH) > 0, "fsync has reached the device");
      assertTrue(disk.requests(BlkRequestType.DISCARD) > 0);
      assertBatches(disk.stats(), backend.overtakers());
    }
  }

  /** No request fails, so each batch is one used element. */
  private static void assertBatches(ServedDisk.Stats stats, long overtakers) {
    String counts = overtakers + " of " + stats;
    assertTrue(overtakers > 100, counts);
    long batches = stats.interrupts() + stats.suppressed();
    assertTrue(batches <= stats.chains() - overtakers, counts);
  }

  /** As a user starts it. What the daemon does not offer, the guest does not get. */
  @ParameterizedTest
  @CsvSource({"packed=off, on", "packed=on, on", "packed=on, off"})
  void daemonKeepsTheOrderOfFourQueues(String format, String inOrder) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("disk.sock");
    try (Daemon daemon = new Daemon(image, socket, "--in-order=" + inOrder, "--serial=daemon");
        Guest guest =
            Guest.on(Machine.BACKPORTS, folder)
                .cpus(4)
                .disk(socket, format, "in_order=on", "num-queues=4")
                .boot(EVERY_REQUEST)) {
      guest.awaitEnd();
      assertEquals("daemon", guest.value("serial"));
      assertAccepted(format, inOrder.equals("on") ? "1" : "0", guest);
      assertEquals(0, daemon.terminate());
      assertContents(Files.readAllBytes(image), guest);
    }
  }

  /** What the guest's kernel says that its driver and the device have agreed on. */
  private static void assertAccepted(String format, String inOrder, Guest guest) {
    String features = guest.value("features");
    int bit = ReservedFeatures.VIRTIO_F_IN_ORDER;
    assertEquals(inOrder, features.substring(bit, bit + 1), features);
    char packed = format.equals("packed=on") ? '1' : '0';
    assertEquals(packed, features.charAt(ReservedFeatures.VIRTIO_F_RING_PACKED), features);
  }

  private static void assertContents(byte[] disk, Guest guest) {
    byte[] data = Arrays.copyOfRange(disk, 16 * MIB, 20 * MIB);
    assertEquals(guest.value("sum"), Host.sha256(data));
    assertArrayEquals(data, Arrays.copyOfRange(disk, 8 * MIB, 12 * MIB));
    Arrays.fill(data, MIB, 2 * MIB, (byte) 0);
    assertArrayEquals(data, Arrays.copyOfRange(disk, 0, 4 * MIB));
    assertEquals(Host.sha256(data), guest.value("discarded"));
  }
}
