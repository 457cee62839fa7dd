// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The daemon as a process: restarted between boots, killed under a guest, told of a new size. */
class DaemonTest {
  private static final long SIZE = 32L << 20;

  @TempDir Path folder;

  /** The same disk by vhost-user, and then as a PCI device: the content is one. */
  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, blk",
    "DEBIAN_12, pci blk --profile=legacy --irq=intx",
    "DEBIAN_13, blk",
    "DEBIAN_13, pci blk",
  })
  void secondBootReadsWhatTheFirstWrote(Machine machine, String second) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("disk.sock");
    Host.run("mkfs.ext4", "-q", image.toString());
    String write =
        """
        mount -t ext4 /dev/vda /mnt
        dd if=/dev/urandom of=/mnt/data bs=4096 count=1000 2>/dev/null
        say sum=$(sha256sum </mnt/data | cut -d' ' -f1)
        umount /mnt
        say all=$(sha256sum </dev/vda | cut -d' ' -f1)
        """;
    String read =
        """
        say all=$(sha256sum </dev/vda | cut -d' ' -f1)
        mount -t ext4 /dev/vda /mnt
        say sum=$(sha256sum </mnt/data | cut -d' ' -f1)
        say serial=$(cat /sys/block/vda/serial)
        umount /mnt
        """;
    String written;
    String all;
    try (Daemon daemon = new Daemon(image, socket);
        Guest guest = Guest.on(machine, folder).disk(socket).boot(write)) {
      guest.awaitEnd();
      written = guest.value("sum");
      all = guest.value("all");
      assertEquals(0, daemon.terminate());
      assertFalse(Files.exists(socket), "the socket is gone");
    }
    Guest.Builder builder = Guest.on(machine, folder);
    builder = second.startsWith("pci") ? builder.pciDisk(socket) : builder.disk(socket);
    List<String> command = List.of(second.split(" "));
    try (Daemon daemon = new Daemon(command, image, socket, "--serial=second-boot");
        Guest guest = builder.boot(read)) {
      guest.awaitEnd();
      assertEquals(all, guest.value("all"));
      assertEquals(written, guest.value("sum"));
      assertEquals("second-boot", guest.value("serial"));
      assertEquals(0, daemon.terminate());
    }
    Host.assertCleanExt4(image);
    assertEquals(written, Host.sha256(Host.readFromExt4(image, "data")));
  }

  @ParameterizedTest
  @EnumSource(
      value = Machine.class,
      names = {"DEBIAN_12", "DEBIAN_13"})
  void idleGuestOutlivesTheDaemonsDeath(Machine machine) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("disk.sock");
    String script =
        """
        echo before | dd of=/dev/vda bs=512 2>/dev/null
        sync
        echo READY
        read line
        echo after | dd of=/dev/vda bs=512 seek=8 2>/dev/null
        sync
        say size=$(cat /sys/block/vda/size)
        echo GROW
        size=$(cat /sys/block/vda/size)
        while [ $(cat /sys/block/vda/size) = $size ]; do sleep 0.1; done
        say grown=$(cat /sys/block/vda/size)
        """;
    Daemon first = new Daemon(image, socket);
    try (Guest guest = Guest.on(machine, folder).reconnectingDisk(socket).boot(script)) {
      guest.await("READY");
      first.kill();
      // The dead daemon's socket is still there; waiting for the new one needs it gone.
      Files.delete(socket);
      try (Daemon second = new Daemon(image, socket)) {
        guest.type("go on");
        guest.await("GROW");
        Host.resize(image, 2 * SIZE);
        second.signal("HUP");
        guest.awaitEnd();
        assertEquals(String.valueOf(SIZE / 512), guest.value("size"));
        assertEquals(String.valueOf(2 * SIZE / 512), guest.value("grown"));
        assertEquals(0, second.terminate());
      }
      assertEquals("before", Host.textAt(image, 0, 6));
      assertEquals("after", Host.textAt(image, 8 * 512, 5));
    } finally {
      first.close();
    }
  }
}
