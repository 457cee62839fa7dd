// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
import io.jvirtio.transport.pci.PciDriverTransport;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** A disk at our server, driven by our driver through our client, by every kind of function. */
@Timeout(120)
@ParameterizedClass
@EnumSource
class DiskTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final int QUEUES = 2;

  /** What the function is like, and how it is driven. */
  enum Kind {
    MODERN_EACH(PciProfile.MODERN, Choice.MODERN, Attempt.MSIX_EACH, true),
    MODERN_SPLIT(PciProfile.TRANSITIONAL, Choice.MODERN_FIRST, Attempt.MSIX_EACH, false),
    MODERN_SHARED(PciProfile.MODERN, Choice.MODERN_FIRST, Attempt.MSIX_SHARED, true),
    MODERN_INTX(PciProfile.MODERN, Choice.MODERN_FIRST, Attempt.INTX, true),
    LEGACY_EACH(PciProfile.TRANSITIONAL, Choice.LEGACY, Attempt.MSIX_EACH, true),
    LEGACY_INTX(PciProfile.LEGACY, Choice.MODERN_FIRST, Attempt.INTX, true);

    final PciOptions function;
    final PciDriverOptions driver;

    Kind(PciProfile profile, Choice choice, Attempt attempt, boolean packed) {
      FeatureBits ring = DeviceHost.ringFeatures();
      function =
          PciOptions.defaults()
              .withProfile(profile)
              .withRingFeatures(
                  packed ? ring : ring.without(ReservedFeatures.VIRTIO_F_RING_PACKED));
      driver = PciDriverOptions.defaults().withChoice(choice).withAttempts(attempt);
    }
  }

  @Parameter Kind kind;
  @TempDir private Path folder;
  private final MemoryBackend data = new MemoryBackend(16 << 20);

  /** Server, client and driver. */
  private final class Disk implements AutoCloseable {
    final VfioUserServer server;
    final BlkDriver driver;
    private final UnixServerSocket socket;
    private final Thread control;
    private final EventLoop loop;

    Disk() throws IOException {
      BlkDevice device =
          new BlkDevice(data, BlkOptions.builder().queues(QUEUES).serial("over-vfio").build());
      server = new VfioUserServer(device, kind.function, Served.options());
      Path path = folder.resolve("s");
      socket = UnixServerSocket.bind(path, server.waker());
      control =
          Thread.ofPlatform()
              .start(
                  () -> {
                    try {
                      server.serve(socket);
                    } catch (IOException e) {
                      throw new AssertionError(e);
                    }
                  });
      loop = EventLoop.start("driver", LoopMode.EVENT, (source, fault) -> fault.printStackTrace());
      VfioUserAccess access = VfioUserAccess.connect(path, PATIENCE);
      driver =
          BlkDriver.open(
              new PciDriverTransport(access, kind.driver),
              BlkDriverOptions.builder(loop).queues(QUEUES).build());
    }

    void endServer() {
      server.stop();
      try {
        assertTrue(control.join(PATIENCE), "serve has not returned");
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
    }

    @Override
    public void close() {
      driver.close();
      loop.close();
      endServer();
      socket.close();
      server.close();
    }
  }

  private static byte[] pattern(int seed, int bytes) {
    byte[] pattern = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      pattern[i] = (byte) (seed * 31 + i / 512 * 7 + i);
    }
    return pattern;
  }

  @Test
  void keepsWhatIsWritten() throws IOException {
    try (Disk disk = new Disk()) {
      assertEquals(data.capacity(), disk.driver.capacity());
      assertEquals("over-vfio", disk.driver.serial());
      List<CompletableFuture<Void>> writes = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        MemorySegment bytes = MemorySegment.ofArray(pattern(i, 5 * 512));
        writes.add(disk.driver.writeAsync(i * 65536L, bytes));
      }
      byte[] large = pattern(99, 3 << 20);
      disk.driver.write(8 << 20, MemorySegment.ofArray(large));
      writes.forEach(CompletableFuture::join);
      disk.driver.flush();
      for (int i = 0; i < 40; i++) {
        assertArrayEquals(pattern(i, 5 * 512), data.read(i * 65536L, 5 * 512));
        byte[] back = new byte[5 * 512];
        disk.driver.read(i * 65536L, MemorySegment.ofArray(back));
        assertArrayEquals(pattern(i, 5 * 512), back);
      }
      byte[] back = new byte[large.length];
      disk.driver.read(8 << 20, MemorySegment.ofArray(back));
      assertArrayEquals(large, back);
      VfioUserStats stats = disk.server.stats();
      assertTrue(stats.interrupts() > 0, stats.toString());
      assertEquals(0, stats.faults());
      assertEquals(0, stats.protocolFaults());
      boolean packed = stats.negotiated().has(ReservedFeatures.VIRTIO_F_RING_PACKED);
      boolean legacy = kind.name().startsWith("LEGACY");
      assertEquals(!legacy && kind != Kind.MODERN_SPLIT, packed);
    }
  }

  @Test
  void frozenAndRestored() throws IOException {
    try (Disk disk = new Disk()) {
      disk.driver.write(512, MemorySegment.ofArray(pattern(1, 512)));
      disk.driver.device().freeze();
      CompletableFuture<Void> waits =
          disk.driver.writeAsync(1024, MemorySegment.ofArray(pattern(2, 512)));
      disk.driver.device().restore();
      waits.join();
      assertArrayEquals(pattern(1, 512), data.read(512, 512));
      assertArrayEquals(pattern(2, 512), data.read(1024, 512));
    }
  }

  @Test
  void aServerThatEndsIsALostDevice() throws IOException {
    try (Disk disk = new Disk()) {
      disk.driver.write(0, MemorySegment.ofArray(pattern(1, 512)));
      disk.endServer();
      Await.until("it is lost", () -> disk.driver.device().state() == State.LOST);
      MemorySegment target = MemorySegment.ofArray(new byte[512]);
      assertThrows(IOException.class, () -> disk.driver.read(0, target));
      CompletableFuture<Void> flush = disk.driver.flushAsync();
      assertThrows(CompletionException.class, flush::join);
    }
  }
}
