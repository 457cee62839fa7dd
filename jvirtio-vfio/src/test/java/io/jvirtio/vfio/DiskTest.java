// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
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
  /** What the function is like, and how it is driven. */
  enum Kind {
    MODERN_EACH(PciProfile.MODERN, Choice.MODERN, Attempt.MSIX_EACH, true),
    MODERN_SPLIT(PciProfile.TRANSITIONAL, Choice.MODERN_FIRST, Attempt.MSIX_EACH, false),
    MODERN_SHARED(PciProfile.MODERN, Choice.MODERN_FIRST, Attempt.MSIX_SHARED, true),
    MODERN_INTX(PciProfile.MODERN, Choice.MODERN_FIRST, Attempt.INTX, true),
    LEGACY_EACH(PciProfile.TRANSITIONAL, Choice.LEGACY, Attempt.MSIX_EACH, true),
    LEGACY_INTX(PciProfile.LEGACY, Choice.MODERN_FIRST, Attempt.INTX, true),
    UNSHARED(PciProfile.MODERN, Choice.MODERN, Attempt.MSIX_EACH, true),
    UNSHARED_SPLIT(PciProfile.MODERN, Choice.MODERN, Attempt.INTX, false),
    UNSHARED_LEGACY(PciProfile.TRANSITIONAL, Choice.LEGACY, Attempt.MSIX_SHARED, false);

    final PciOptions function;
    final PciDriverOptions driver;

    /** Whether the server can map the driver's memory. */
    boolean shared() {
      return !name().startsWith("UNSHARED");
    }

    /** Whether rings are packed then. */
    boolean packed() {
      return function.ringFeatures().has(ReservedFeatures.VIRTIO_F_RING_PACKED)
          && driver.choice() != Choice.LEGACY
          && function.profile() != PciProfile.LEGACY;
    }

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

  private Disk disk() throws IOException {
    return new Disk(folder, kind, !kind.shared(), Duration.ofSeconds(20));
  }

  static byte[] pattern(int seed, int bytes) {
    byte[] pattern = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      pattern[i] = (byte) (seed * 31 + i / 512 * 7 + i);
    }
    return pattern;
  }

  @Test
  void keepsWhatIsWritten() throws IOException {
    try (Disk disk = disk()) {
      assertEquals(disk.data.capacity(), disk.driver.capacity());
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
        assertArrayEquals(pattern(i, 5 * 512), disk.data.read(i * 65536L, 5 * 512));
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
      assertEquals(kind.packed(), stats.negotiated().has(ReservedFeatures.VIRTIO_F_RING_PACKED));
      if (!kind.shared()) {
        assertTrue(disk.relay.served > 0);
      }
    }
  }

  @Test
  void frozenAndRestored() throws IOException {
    try (Disk disk = disk()) {
      disk.driver.write(512, MemorySegment.ofArray(pattern(1, 512)));
      disk.driver.device().freeze();
      CompletableFuture<Void> waits =
          disk.driver.writeAsync(1024, MemorySegment.ofArray(pattern(2, 512)));
      disk.driver.device().restore();
      waits.join();
      assertArrayEquals(pattern(1, 512), disk.data.read(512, 512));
      assertArrayEquals(pattern(2, 512), disk.data.read(1024, 512));
    }
  }

  @Test
  void aServerThatEndsIsALostDevice() throws IOException {
    try (Disk disk = disk()) {
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
