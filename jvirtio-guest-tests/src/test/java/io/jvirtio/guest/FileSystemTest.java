// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A guest makes, fills, checks and trims a file system; the host then looks into the image. */
class FileSystemTest {
  private static final long SIZE = 128L << 20;

  private static final String SCRIPT =
      """
      mkfs.ext4 -q /dev/vda
      mount -t ext4 /dev/vda /mnt
      for i in 1 2 3 4 5 6 7 8; do
        dd if=/dev/urandom of=/mnt/file$i bs=4096 count=$((i * 40)) 2>/dev/null
      done
      dd if=/dev/urandom of=/mnt/big bs=1M count=24 2>/dev/null
      cd /mnt
      sha256sum file* big >/tmp/sums
      cp /tmp/sums sums
      sync
      cd /
      umount /mnt
      echo 3 >/proc/sys/vm/drop_caches
      mount -t ext4 /dev/vda /mnt
      cd /mnt
      sha256sum -c /tmp/sums >/dev/null
      say sums=$(sha256sum <sums | cut -d' ' -f1)
      say file7=$(sha256sum <file7 | cut -d' ' -f1)
      echo WRITTEN
      read line
      rm big
      sync
      fstrim /mnt
      cd /
      umount /mnt
      """;

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, packed=off, VHOST_USER",
    "DEBIAN_12, packed=on, VHOST_USER",
    "DEBIAN_12, packed=off, LEGACY_INTX",
    "DEBIAN_13, packed=off, VHOST_USER",
    "DEBIAN_13, packed=on, VHOST_USER",
    "DEBIAN_13, packed=on, TRANSITIONAL_MSIX",
    "BACKPORTS, 'packed=off,in_order=on', VHOST_USER",
    "BACKPORTS, 'packed=on,in_order=on', VHOST_USER",
  })
  void ext4IsMadeFilledRemountedAndTrimmed(Machine machine, String format, Bus bus)
      throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    AtomicLong tracedFlushes = new AtomicLong();
    try (RecordingStream trace = new RecordingStream();
        ServedDisk disk =
            new ServedDisk(
                image,
                folder.resolve("disk.sock"),
                BlkOptions.defaults(),
                ServedDisk.WITH_IN_ORDER,
                bus);
        Guest guest = Guest.on(machine, folder).disk(disk, format).boot(SCRIPT)) {
      trace.enable("io.jvirtio.Request");
      trace.onEvent("io.jvirtio.Request", event -> count(event, tracedFlushes));
      trace.startAsync();
      guest.await("WRITTEN");
      assertTrue(disk.requests(BlkRequestType.FLUSH) > 0, "sync has reached the device");
      long full = Host.allocated(image);
      assertTrue(full > 24L << 20, "the image holds what was written: " + full);

      guest.type("go on");
      guest.awaitEnd();
      long trimmed = Host.allocated(image);
      assertTrue(trimmed < full - (20L << 20), "shrunk from " + full + " to " + trimmed);
      assertTrue(disk.requests(BlkRequestType.DISCARD) > 0);
      disk.assertNegotiated(format);

      trace.stop();
      assertTrue(tracedFlushes.get() > 0, "flushes are in the trace");

      Host.assertCleanExt4(image);
      assertEquals(guest.value("sums"), Host.sha256(Host.readFromExt4(image, "sums")));
      assertEquals(guest.value("file7"), Host.sha256(Host.readFromExt4(image, "file7")));
    }
  }

  private static void count(RecordedEvent event, AtomicLong flushes) {
    if (event.getString("type").equals(BlkRequestType.FLUSH.name())) {
      flushes.incrementAndGet();
    }
  }
}
