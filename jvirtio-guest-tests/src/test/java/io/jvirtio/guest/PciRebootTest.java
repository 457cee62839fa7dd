// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A PCI device that stays while the machine around it starts again. */
class PciRebootTest {
  private static final long SIZE = 32L << 20;

  @TempDir Path folder;

  /** The guest reboots itself; then its machine is reset in the middle of its writes. */
  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, MODERN_MSIX",
    "DEBIAN_12, LEGACY_INTX",
    "DEBIAN_13, TRANSITIONAL_MSIX",
  })
  void diskWorksAfterEachStart(Machine machine, Bus bus) throws Exception {
    // Sector 0 counts the starts.
    String script =
        """
        starts=$(dd if=/dev/vda bs=512 count=1 2>/dev/null | tr -d '\\0')
        case "$starts" in
        '')
          dd if=/dev/urandom of=/dev/vda bs=65536 seek=1 count=16 2>/dev/null
          sync
          say sum1=$(dd if=/dev/vda bs=65536 skip=1 count=16 2>/dev/null | sha256sum | cut -d' ' -f1)
          echo 1 | dd of=/dev/vda bs=512 conv=sync oflag=direct 2>/dev/null
          reboot -f
          sleep 60
          ;;
        1)
          say sum2=$(dd if=/dev/vda bs=65536 skip=1 count=16 2>/dev/null | sha256sum | cut -d' ' -f1)
          echo 2 | dd of=/dev/vda bs=512 conv=sync oflag=direct 2>/dev/null
          dd if=/dev/zero of=/tmp/data bs=65536 count=16 2>/dev/null
          for writer in 2 3 4 5; do
            (while true; do
              dd if=/tmp/data of=/dev/vda bs=4096 seek=$((writer * 256)) oflag=direct 2>/dev/null
            done) &
          done
          echo WRITING
          sleep 60
          ;;
        2)
          say sum3=$(dd if=/dev/vda bs=65536 skip=1 count=16 2>/dev/null | sha256sum | cut -d' ' -f1)
          ;;
        esac
        """;
    Path image = Host.image(folder, "disk.img", SIZE);
    Path monitor = folder.resolve("qmp.sock");
    try (ServedDisk disk =
            new ServedDisk(image, folder.resolve("disk.sock"), BlkOptions.defaults(), bus);
        Guest guest =
            Guest.on(machine, folder)
                .patience(Duration.ofSeconds(120))
                .monitor(monitor)
                .reboots()
                .disk(disk)
                .boot(script)) {
      guest.await("WRITING");
      QueueRestartTest.awaitWrites(disk, disk.requests(BlkRequestType.OUT) + 100);
      Qmp.execute(monitor, "system_reset");
      guest.awaitEnd();
      assertEquals(guest.value("sum1"), guest.value("sum2"));
      assertEquals(guest.value("sum1"), guest.value("sum3"));
      assertEquals(0, disk.stats().faults());
      assertEquals(0, disk.stats().protocolFaults());
      assertEquals(0, disk.device().stats().ioErrors());
    }
  }

  /** QEMU is killed while its guest writes; another one is served by the same device then. */
  @ParameterizedTest
  @CsvSource({"DEBIAN_12, TRANSITIONAL_INTX", "DEBIAN_13, MODERN_MSIX"})
  void nextQemuIsServed(Machine machine, Bus bus) throws Exception {
    String write =
        """
        dd if=/dev/urandom of=/tmp/data bs=65536 count=16 2>/dev/null
        dd if=/tmp/data of=/dev/vda bs=65536 oflag=direct 2>/dev/null
        say sum=$(sha256sum </tmp/data | cut -d' ' -f1)
        echo WRITING
        while dd if=/tmp/data of=/dev/vda bs=4096 seek=256 oflag=direct 2>/dev/null; do true; done
        """;
    String read =
        """
        say sum=$(dd if=/dev/vda bs=65536 count=16 2>/dev/null | sha256sum | cut -d' ' -f1)
        dd if=/dev/zero of=/dev/vda bs=65536 count=1 oflag=direct 2>/dev/null
        """;
    Path image = Host.image(folder, "disk.img", SIZE);
    try (ServedDisk disk =
        new ServedDisk(image, folder.resolve("disk.sock"), BlkOptions.defaults(), bus)) {
      String written;
      try (Guest guest = Guest.on(machine, folder).disk(disk).boot(write)) {
        guest.await("WRITING");
        QueueRestartTest.awaitWrites(disk, disk.requests(BlkRequestType.OUT) + 100);
        written = guest.value("sum");
      }
      try (Guest guest = Guest.on(machine, folder).disk(disk).boot(read)) {
        guest.awaitEnd();
        assertEquals(written, guest.value("sum"));
      }
      assertEquals(0, disk.stats().faults());
      assertEquals(0, disk.device().stats().ioErrors());
    }
  }
}
