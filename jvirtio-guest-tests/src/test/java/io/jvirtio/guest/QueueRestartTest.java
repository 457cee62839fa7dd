// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Queues that are stopped, and go on where they were, or at their start after a reset. */
class QueueRestartTest {
  private static final long SIZE = 32L << 20;
  private static final int STOPS = 12;
  private static final int DEADLINE_SECONDS = 30;

  @TempDir Path folder;

  /**
   * QEMU asks for the position of each queue when it stops its machine and gives it back when that
   * goes on: with both wrap counters for packed queues. The queue is so small that its end is
   * passed all the time, and each stop finds it elsewhere.
   */
  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, packed=on",
    "DEBIAN_13, packed=on",
    "DEBIAN_12, packed=off",
    "DEBIAN_13, packed=off",
    "BACKPORTS, 'packed=on,in_order=on'",
    "BACKPORTS, 'packed=off,in_order=on'",
  })
  void machineIsStoppedAndGoesOn(Machine machine, String format) throws Exception {
    String script =
        """
        dd if=/dev/urandom of=/tmp/data bs=65536 count=64 2>/dev/null
        echo WRITING
        while [ ! -e /tmp/stop ]; do
          dd if=/tmp/data of=/dev/vda bs=4096 oflag=direct 2>/dev/null
          dd if=/dev/vda of=/tmp/back bs=4096 count=1024 iflag=direct 2>/dev/null
          cmp /tmp/data /tmp/back
        done &
        read line
        touch /tmp/stop
        wait
        say sum=$(sha256sum </tmp/data | cut -d' ' -f1)
        say back=$(dd if=/dev/vda bs=65536 count=64 2>/dev/null | sha256sum | cut -d' ' -f1)
        """;
    Path image = Host.image(folder, "disk.img", SIZE);
    Path monitor = folder.resolve("qmp.sock");
    try (ServedDisk disk =
            new ServedDisk(
                image,
                folder.resolve("disk.sock"),
                BlkOptions.builder().queueSize(16).build(),
                ServedDisk.WITH_IN_ORDER,
                Bus.VHOST_USER);
        Guest guest =
            Guest.on(machine, folder)
                .monitor(monitor)
                .disk(disk.socket(), format, "num-queues=1", "queue-size=16")
                .boot(script)) {
      guest.await("WRITING");
      for (int i = 0; i < STOPS; i++) {
        long before = disk.requests(BlkRequestType.OUT);
        awaitWrites(disk, before + 37);
        Qmp.execute(monitor, "stop", "cont");
      }
      awaitWrites(disk, disk.requests(BlkRequestType.OUT) + 37);
      guest.type("enough");
      guest.awaitEnd();
      assertEquals(guest.value("sum"), guest.value("back"));
      disk.assertNegotiated(format);
    }
  }

  static void awaitWrites(ServedDisk disk, long count) throws InterruptedException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    while (disk.requests(BlkRequestType.OUT) < count) {
      assertTrue(System.nanoTime() < deadline, () -> "stuck: " + disk.stats());
      Thread.sleep(2);
    }
  }

  /**
   * Linux lets go of the device, which resets it, and takes it again: a new packed queue each time.
   */
  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, VHOST_USER",
    "DEBIAN_12, TRANSITIONAL_INTX",
    "DEBIAN_13, VHOST_USER",
    "DEBIAN_13, MODERN_MSIX",
  })
  void driverLetsGoAndTakesItAgain(Machine machine, Bus bus) throws Exception {
    String script =
        """
        driver=/sys/bus/virtio/drivers/virtio_blk
        id=$(basename $(readlink /sys/block/vda/device))
        dd if=/dev/urandom of=/tmp/data bs=65536 count=16 2>/dev/null
        for round in 1 2 3 4 5; do
          dd if=/tmp/data of=/dev/vda bs=65536 seek=$((round * 16)) 2>/dev/null
          sync
          echo $id >$driver/unbind
          [ ! -e /sys/block/vda ]
          echo $id >$driver/bind
          while [ ! -e /dev/vda ]; do sleep 0.1; done
          dd if=/dev/vda of=/tmp/back bs=65536 skip=$((round * 16)) count=16 2>/dev/null
          cmp /tmp/data /tmp/back
        done
        """;
    Path image = Host.image(folder, "disk.img", SIZE);
    try (ServedDisk disk =
            new ServedDisk(image, folder.resolve("disk.sock"), BlkOptions.defaults(), bus);
        Guest guest = Guest.on(machine, folder).disk(disk, "packed=on").boot(script)) {
      guest.awaitEnd();
      disk.assertNegotiated("packed=on");
    }
  }

  /**
   * Linux lets go of the device, which resets it, while programs write to it. Those writes may
   * fail; what is written afterwards may not.
   */
  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, LEGACY_INTX",
    "DEBIAN_13, TRANSITIONAL_MSIX",
    "DEBIAN_13, MODERN_INTX",
  })
  void deviceIsResetWithRequestsInFlight(Machine machine, Bus bus) throws Exception {
    String script =
        """
        driver=/sys/bus/virtio/drivers/virtio_blk
        id=$(basename $(readlink /sys/block/vda/device))
        dd if=/dev/urandom of=/tmp/data bs=65536 count=16 2>/dev/null
        for round in 1 2 3 4 5; do
          for writer in 1 2 3 4; do
            (exec 3<>/dev/vda; while dd if=/tmp/data of=/proc/self/fd/3 bs=4096 \\
              seek=$((writer * 256)) oflag=direct; do true; done) 2>/dev/null &
          done
          sleep 0.3
          echo $id >$driver/unbind
          wait
          echo $id >$driver/bind
          while [ ! -e /dev/vda ]; do sleep 0.1; done
          dd if=/tmp/data of=/dev/vda bs=65536 seek=$((round * 16)) oflag=direct 2>/dev/null
          dd if=/dev/vda of=/tmp/back bs=65536 skip=$((round * 16)) count=16 iflag=direct 2>/dev/null
          cmp /tmp/data /tmp/back
          say round=$round
        done
        """;
    Path image = Host.image(folder, "disk.img", SIZE);
    try (ServedDisk disk =
            new ServedDisk(image, folder.resolve("disk.sock"), BlkOptions.defaults(), bus);
        Guest guest = Guest.on(machine, folder).cpus(2).disk(disk).boot(script)) {
      guest.awaitEnd();
      assertEquals("5", guest.value("round"));
      assertTrue(disk.requests(BlkRequestType.OUT) > 5 * 16, disk.device().stats().toString());
      assertEquals(0, disk.stats().faults());
      assertEquals(0, disk.stats().protocolFaults());
      assertEquals(0, disk.device().stats().ioErrors());
    }
  }
}
