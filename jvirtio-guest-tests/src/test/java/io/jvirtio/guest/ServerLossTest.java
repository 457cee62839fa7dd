// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.OnLoss;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The server dies, or answers nothing more, in the middle of what our block driver asked of it. */
class ServerLossTest {
  private static final int MIB = 1 << 20;
  private static final int SIZE = 32 * MIB;
  private static final int QUEUES = 2;
  private static final int DEPTH = 32;
  private static final int DEADLINE_SECONDS = 30;
  private static final Duration RECOVERY = Duration.ofSeconds(20);

  @TempDir Path folder;
  private Path image;
  private Path socket;

  @BeforeEach
  void makeImage() throws IOException {
    image = Host.image(folder, "disk.img", SIZE);
    socket = folder.resolve("disk.sock");
  }

  private StorageDaemon serve(StorageDaemon.Version version) throws Exception {
    return new StorageDaemon(version, folder, image, socket, "writable=on", "num-queues=" + QUEUES);
  }

  private DrivenDisk drive(OnLoss onLoss, Duration requestTimeout) throws IOException {
    return new DrivenDisk(
        socket,
        QUEUES,
        options -> options.onLoss(onLoss).requestTimeout(requestTimeout),
        DriverDevice.ringFeatures());
  }

  @ParameterizedTest
  @EnumSource
  void whatWasPendingFailsWhenTheServerIsKilled(StorageDaemon.Version version) throws Exception {
    try (StorageDaemon first = serve(version);
        DrivenDisk disk = drive(OnLoss.FAIL, Duration.ofSeconds(10))) {
      BlkDriver driver = disk.driver();
      CompletableFuture<IOException> reader = readUntilItFails(driver);
      Writers writers = new Writers(driver, SIZE, DEPTH, 100);
      writers.begin();
      writers.awaitEnded(1000);
      first.peer().kill();
      writers.await();
      assertEquals(QUEUES * DEPTH, writers.failures().size(), "each writer has seen it");
      assertTrue(reader.get(DEADLINE_SECONDS, TimeUnit.SECONDS).getMessage().contains("READ"));
      disk.awaitState(DriverDevice.State.LOST);
      assertThrows(IOException.class, () -> driver.read(0, sector()));
      assertThrows(IOException.class, driver::flush);

      try (StorageDaemon second = serve(version)) {
        driver.device().recover(RECOVERY);
        assertEquals(DriverDevice.State.LIVE, driver.device().state());
        writeAll(driver);
        second.peer().terminate();
      }
    }
  }

  private static CompletableFuture<IOException> readUntilItFails(BlkDriver driver) {
    CompletableFuture<IOException> failure = new CompletableFuture<>();
    Thread.ofPlatform()
        .daemon()
        .name("reader")
        .start(
            () -> {
              byte[] target = new byte[MIB];
              try {
                while (true) {
                  driver.read(0, MemorySegment.ofArray(target));
                }
              } catch (IOException e) {
                failure.complete(e);
              } catch (RuntimeException | Error e) {
                failure.completeExceptionally(e);
              }
            });
    return failure;
  }

  private static MemorySegment sector() {
    return MemorySegment.ofArray(new byte[512]);
  }

  private void writeAll(BlkDriver driver) throws Exception {
    Writers writers = new Writers(driver, SIZE, DEPTH, 1);
    writers.begin();
    writers.await();
    writers.assertNoneFailed();
    driver.flush();
    Patterns.assertSame(writers.expected(), Files.readAllBytes(image), "the image");
  }

  @ParameterizedTest
  @EnumSource
  void whatWasPendingIsDoneByTheNextServer(StorageDaemon.Version version) throws Exception {
    try (StorageDaemon first = serve(version);
        DrivenDisk disk = drive(OnLoss.RETRY, Duration.ofSeconds(30))) {
      BlkDriver driver = disk.driver();
      Writers writers = new Writers(driver, SIZE, DEPTH, 3);
      writers.begin();
      writers.awaitEnded(1000);
      first.peer().kill();
      disk.awaitState(DriverDevice.State.LOST);
      // One that comes while there is no server waits as well.
      byte[] late = Patterns.random(7, MIB);
      CompletableFuture<Void> flushed = driver.flushAsync();
      try (StorageDaemon second = serve(version)) {
        driver.device().recover(RECOVERY);
        writers.await();
        writers.assertNoneFailed();
        flushed.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
        byte[] back = new byte[SIZE];
        driver.read(0, MemorySegment.ofArray(back));
        Patterns.assertSame(writers.expected(), back, "what was read");
        driver.write(0, MemorySegment.ofArray(late));
        driver.flush();
        System.arraycopy(late, 0, back, 0, MIB);
        Patterns.assertSame(back, Files.readAllBytes(image), "the image");
        second.peer().terminate();
      }
    }
  }

  @ParameterizedTest
  @EnumSource(OnLoss.class)
  void serverThatIsStoppedMissesTheDeadline(OnLoss onLoss) throws Exception {
    try (StorageDaemon daemon = serve(StorageDaemon.Version.LAB);
        DrivenDisk disk = drive(onLoss, Duration.ofSeconds(1))) {
      BlkDriver driver = disk.driver();
      byte[] data = Patterns.random(1, MIB);
      driver.write(0, MemorySegment.ofArray(data));
      daemon.peer().signal("STOP");
      CompletableFuture<Void> write = driver.writeAsync(MIB, MemorySegment.ofArray(data));
      disk.awaitState(DriverDevice.State.BROKEN);
      if (onLoss == OnLoss.FAIL) {
        assertThrows(ExecutionException.class, () -> write.get(DEADLINE_SECONDS, TimeUnit.SECONDS));
        assertThrows(IOException.class, () -> driver.read(0, sector()));
        // Nothing answers, so there is no recovery either; nor does it take for ever to find out.
        assertThrows(IOException.class, () -> driver.device().recover(Duration.ofMillis(500)));
      }
      daemon.peer().signal("CONT");
      driver.device().recover(RECOVERY);
      assertEquals(DriverDevice.State.LIVE, driver.device().state());
      if (onLoss == OnLoss.RETRY) {
        write.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
        byte[] back = new byte[MIB];
        driver.read(MIB, MemorySegment.ofArray(back));
        Patterns.assertSame(data, back, "what was read");
      }
      writeAll(driver);
    }
  }

  @ParameterizedTest
  @EnumSource(OnLoss.class)
  void nothingLeaks(OnLoss onLoss) throws Exception {
    // What the JVM opens once and keeps is open then.
    lifeAndDeath(onLoss);
    Path descriptors = Path.of("/proc/self/fd");
    long before = count(descriptors);
    for (int i = 0; i < 3; i++) {
      lifeAndDeath(onLoss);
    }
    await(() -> count(descriptors) <= before, "descriptors are closed");
    await(() -> disksThreads() == 0, "threads have ended");
  }

  private void lifeAndDeath(OnLoss onLoss) throws Exception {
    try (StorageDaemon first = serve(StorageDaemon.Version.HOST);
        DrivenDisk disk = drive(onLoss, Duration.ofSeconds(10))) {
      Writers writers = new Writers(disk.driver(), SIZE, DEPTH, 100);
      writers.begin();
      writers.awaitEnded(100);
      first.peer().kill();
      disk.awaitState(DriverDevice.State.LOST);
      try (StorageDaemon second = serve(StorageDaemon.Version.HOST)) {
        disk.driver().device().recover(RECOVERY);
        disk.driver().read(0, sector());
        second.peer().kill();
        disk.awaitState(DriverDevice.State.LOST);
      }
      disk.driver().close();
      writers.await();
      assertFalse(writers.failures().isEmpty());
    }
  }

  private static long count(Path folder) {
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.count();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static long disksThreads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith("disk queue"))
        .count();
  }

  private static void await(BooleanSupplier condition, String what) throws InterruptedException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < deadline, what);
      Thread.sleep(2);
    }
  }
}
