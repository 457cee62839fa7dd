// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.spec.VirtioBlk;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** A disk that may only be read, one that grows, and one whose device leaves and comes back. */
class SizeAndAccessTest {
  private static final long SIZE = 8L << 20;

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(
      value = Machine.class,
      names = {"DEBIAN_12", "DEBIAN_13"})
  void readOnlyDiskRefusesWrites(Machine machine) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    BootSector.write(image, "one", "two");
    String before = Host.sha256(image);
    String script =
        """
        say ro=$(cat /sys/block/vda/ro)
        if dd if=/dev/urandom of=/dev/vda bs=4096 count=1 2>/dev/null; then
          say write=done
        else
          say write=refused
        fi
        sync
        say sum=$(sha256sum </dev/vda | cut -d' ' -f1)
        """;
    BlkOptions options = BlkOptions.builder().readOnly(true).build();
    try (ServedDisk disk = new ServedDisk(image, folder.resolve("disk.sock"), options);
        Guest guest = Guest.on(machine, folder).disk(disk.socket()).boot(script)) {
      guest.awaitEnd();
      assertEquals("1", guest.value("ro"));
      assertEquals("refused", guest.value("write"));
      assertEquals(before, guest.value("sum"));
      assertEquals(before, Host.sha256(image));
      assertTrue(disk.stats().negotiated().has(VirtioBlk.VIRTIO_BLK_F_RO));
      assertEquals(0, disk.requests(BlkRequestType.OUT));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, VHOST_USER",
    "DEBIAN_12, LEGACY_INTX",
    "DEBIAN_13, VHOST_USER",
    "DEBIAN_13, MODERN_MSIX",
  })
  void guestSeesTheDiskGrow(Machine machine, Bus bus) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    // Ends only when the size has changed: the host's deadline bounds it.
    String script =
        """
        size=$(cat /sys/block/vda/size)
        say before=$size
        echo READY
        while [ $(cat /sys/block/vda/size) = $size ]; do sleep 0.1; done
        say after=$(cat /sys/block/vda/size)
        dmesg | grep -q 'vda.*new size'
        echo behind-the-old-end | dd of=/dev/vda bs=512 seek=$((size + 8)) 2>/dev/null
        sync
        """;
    try (ServedDisk disk =
            new ServedDisk(image, folder.resolve("disk.sock"), BlkOptions.defaults(), bus);
        Guest guest = Guest.on(machine, folder).disk(disk).boot(script)) {
      guest.await("READY");
      Host.resize(image, 2 * SIZE);
      assertEquals(2 * SIZE, disk.device().refreshSize());
      guest.awaitEnd();
      assertEquals(String.valueOf(SIZE / 512), guest.value("before"));
      assertEquals(String.valueOf(2 * SIZE / 512), guest.value("after"));
      assertEquals("behind-the-old-end", Host.textAt(image, SIZE + 8 * 512, 18));
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Machine.class,
      names = {"DEBIAN_12", "DEBIAN_13"})
  void idleGuestOutlivesTheDevice(Machine machine) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("disk.sock");
    String script =
        """
        echo before-the-pause | dd of=/dev/vda bs=512 2>/dev/null
        sync
        echo READY
        read line
        echo after-the-pause | dd of=/dev/vda bs=512 seek=8 2>/dev/null
        sync
        echo 3 >/proc/sys/vm/drop_caches
        say first=$(head -n 1 /dev/vda)
        """;
    ServedDisk first = new ServedDisk(image, socket, BlkOptions.defaults());
    try (Guest guest = Guest.on(machine, folder).reconnectingDisk(socket).boot(script)) {
      guest.await("READY");
      first.close();
      try (ServedDisk second = new ServedDisk(image, socket, BlkOptions.defaults())) {
        guest.type("go on");
        guest.awaitEnd();
        assertTrue(second.requests(BlkRequestType.OUT) > 0);
        assertEquals(0, second.stats().faults());
      }
      assertEquals("before-the-pause", guest.value("first"));
      assertEquals("after-the-pause", Host.textAt(image, 8 * 512, 15));
    } finally {
      first.close();
    }
  }
}
