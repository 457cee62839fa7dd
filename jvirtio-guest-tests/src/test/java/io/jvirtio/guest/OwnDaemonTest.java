// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.OnLoss;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Our block driver against our own daemon in another process, and a guest that reads the result.
 */
class OwnDaemonTest {
  private static final int MIB = 1 << 20;
  private static final int SIZE = 32 * MIB;
  private static final int QUEUES = 2;

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({
    "event, on, off",
    "adaptive, on, off",
    "poll, on, off",
    "event, off, off",
    "adaptive, on, on",
    "adaptive, off, on",
  })
  void everyBlockArrivesInEachMode(String mode, String packed, String inOrder) throws Exception {
    String[] options = {
      "--mode=" + mode, "--serial=driven", "--packed=" + packed, "--in-order=" + inOrder
    };
    Path image = Patterns.image(folder, "disk.img", 1, SIZE);
    Path socket = folder.resolve("disk.sock");
    try (Daemon daemon = daemon(image, socket, options)) {
      try (DrivenDisk disk = drive(socket, OnLoss.FAIL)) {
        DriverDevice device = disk.driver().device();
        assertEquals(packed.equals("on"), device.hasFeature(ReservedFeatures.VIRTIO_F_RING_PACKED));
        assertEquals(inOrder.equals("on"), device.hasFeature(ReservedFeatures.VIRTIO_F_IN_ORDER));
        useAll(disk.driver(), image);
        grow(disk.driver(), image, daemon);
      }
      assertEquals(0, daemon.terminate());
    }
  }

  private static void useAll(BlkDriver driver, Path image) throws Exception {
    assertEquals("driven", driver.serial());
    byte[] back = new byte[SIZE];
    driver.read(0, MemorySegment.ofArray(back));
    Patterns.assertSame(Files.readAllBytes(image), back, "what was read");
    Writers writers = new Writers(driver, SIZE, 32, 2);
    writers.begin();
    writers.await();
    writers.assertNoneFailed();
    driver.flush();
    byte[] expected = writers.expected();
    driver.writeZeroes(MIB, MIB, true);
    driver.flush();
    System.arraycopy(new byte[MIB], 0, expected, MIB, MIB);
    Patterns.assertSame(expected, Files.readAllBytes(image), "the image");
    driver.discard(0, MIB);
  }

  private static void grow(BlkDriver driver, Path image, Daemon daemon) throws Exception {
    CompletableFuture<Long> heard = new CompletableFuture<>();
    driver.onCapacityChange(heard::complete);
    Host.resize(image, 2L * SIZE);
    daemon.signal("HUP");
    assertEquals(2L * SIZE, heard.get(30, TimeUnit.SECONDS));
    driver.write(2L * SIZE - 512, MemorySegment.ofArray(new byte[512]));
  }

  private static Daemon daemon(Path image, Path socket, String... options) throws Exception {
    String[] all = new String[options.length + 1];
    all[0] = "--num-queues=" + QUEUES;
    System.arraycopy(options, 0, all, 1, options.length);
    return new Daemon(image, socket, all);
  }

  private static DrivenDisk drive(Path socket, OnLoss onLoss) throws IOException {
    return new DrivenDisk(
        socket, QUEUES, options -> options.onLoss(onLoss), DriverDevice.ringFeatures());
  }

  @Test
  void requestsOutliveTheDaemon() throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("disk.sock");
    Daemon first = daemon(image, socket);
    try (DrivenDisk disk = drive(socket, OnLoss.RETRY)) {
      BlkDriver driver = disk.driver();
      Writers writers = new Writers(driver, SIZE, 32, 4);
      writers.begin();
      writers.awaitEnded(1000);
      first.kill();
      disk.awaitState(DriverDevice.State.LOST);
      // The dead daemon's socket is still there; waiting for the new one needs it gone.
      Files.delete(socket);
      assertThrows(IOException.class, () -> driver.device().recover(Duration.ofMillis(200)));
      try (Daemon second = daemon(image, socket)) {
        driver.device().recover(Duration.ofSeconds(20));
        writers.await();
        writers.assertNoneFailed();
        driver.flush();
        Patterns.assertSame(writers.expected(), Files.readAllBytes(image), "the image");
        second.kill();
      }
    } finally {
      first.close();
    }
  }

  /** Three programs on one image, one after another, of which two are ours. */
  @ParameterizedTest
  @EnumSource(
      value = Machine.class,
      names = {"DEBIAN_12", "DEBIAN_13"})
  void guestReadsWhatTheDriverWroteAndBack(Machine machine) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("storage.sock");
    byte[] pattern = Patterns.random(5, SIZE);
    try (StorageDaemon _ =
            new StorageDaemon(StorageDaemon.Version.LAB, folder, image, socket, "writable=on");
        DrivenDisk disk = new DrivenDisk(socket)) {
      disk.driver().write(0, MemorySegment.ofArray(pattern));
      disk.driver().flush();
    }
    String script =
        """
        say before=$(sha256sum </dev/vda | cut -d' ' -f1)
        dd if=/dev/urandom of=/dev/vda bs=65536 count=64 seek=32 2>/dev/null
        sync
        echo 3 >/proc/sys/vm/drop_caches
        say after=$(sha256sum </dev/vda | cut -d' ' -f1)
        """;
    String after;
    Path served = folder.resolve("disk.sock");
    try (Daemon daemon = new Daemon(image, served);
        Guest guest = Guest.on(machine, folder).disk(served).boot(script)) {
      guest.awaitEnd();
      assertEquals(Host.sha256(pattern), guest.value("before"));
      after = guest.value("after");
      assertEquals(0, daemon.terminate());
    }
    byte[] back = new byte[SIZE];
    try (StorageDaemon _ =
            new StorageDaemon(StorageDaemon.Version.HOST, folder, image, socket, "writable=off");
        DrivenDisk disk = new DrivenDisk(socket)) {
      disk.driver().read(0, MemorySegment.ofArray(back));
    }
    assertEquals(after, Host.sha256(back));
  }
}
