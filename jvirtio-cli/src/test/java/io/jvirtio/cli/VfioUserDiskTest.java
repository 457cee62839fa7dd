// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import io.jvirtio.vfio.VfioUserOptions;
import io.jvirtio.vfio.VfioUserServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code probe}, {@code copy} and {@code bench blk} at a PCI function of our vfio-user server. */
@Timeout(120)
class VfioUserDiskTest {
  private static final int SIZE = 8 << 20;

  @TempDir private Path folder;

  private Path image;
  private Path socket;

  /** Our block device as a PCI function. */
  private static final class Served implements AutoCloseable {
    private final RawFileBackend backend;
    private final VfioUserServer server;
    private final UnixServerSocket listener;
    private final Thread thread;

    Served(Path socket, Path image, PciOptions pci) throws IOException {
      backend = RawFileBackend.open(RawFileOptions.of(image));
      BlkOptions two = BlkOptions.builder().queues(2).build();
      server = new VfioUserServer(new BlkDevice(backend, two), pci, VfioUserOptions.defaults());
      listener = UnixServerSocket.bind(socket, server.waker());
      thread = Thread.ofPlatform().start(this::serve);
    }

    private void serve() {
      try {
        server.serve(listener);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    @Override
    public void close() throws IOException {
      server.stop();
      try {
        thread.join();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      listener.close();
      server.close();
      backend.close();
    }
  }

  @BeforeEach
  void make() throws IOException {
    image = random("disk.img", 1);
    socket = folder.resolve("s");
  }

  private Path random(String name, long seed) throws IOException {
    byte[] bytes = new byte[SIZE];
    new Random(seed).nextBytes(bytes);
    return Files.write(folder.resolve(name), bytes);
  }

  private CommandRun run(String command, String... more) {
    List<String> args = new ArrayList<>(List.of(command.split(" ")));
    args.add("--vfio-user=" + socket);
    args.addAll(List.of(more));
    return CommandRun.of(args.toArray(String[]::new));
  }

  @ParameterizedTest
  @CsvSource({
    "MODERN, ''",
    "MODERN, --irq=msix-shared",
    "MODERN, --irq=intx",
    "MODERN, --packed=on",
    "TRANSITIONAL, ''",
    "TRANSITIONAL, --legacy",
    "TRANSITIONAL, --legacy --irq=intx",
    "LEGACY, --irq=msix",
    "LEGACY, --irq=intx",
  })
  void thereAndBack(PciProfile profile, String options) throws IOException {
    String command = options.isEmpty() ? "" : " " + options;
    Path other = random("other.img", 2);
    try (Served _ = new Served(socket, image, PciOptions.defaults().withProfile(profile))) {
      Path first = folder.resolve("first.img");
      run("copy --verify" + command, first.toString()).assertOk();
      assertEquals(-1, Files.mismatch(image, first));
      run("copy --to-device --verify" + command, other.toString()).assertOk();
      assertEquals(-1, Files.mismatch(image, other));
      CommandRun bench = run("bench blk --runtime=0.2 --iodepth=8 --json" + command).assertOk();
      assertTrue(bench.out().contains("\"kiops\":"), bench.out());
      run("bench blk --runtime=0.2 --num-threads=2 --poll" + command).assertOk();
    }
  }

  @Test
  void probed() throws IOException {
    PciOptions transitional = PciOptions.defaults().withProfile(PciProfile.TRANSITIONAL);
    try (Served _ = new Served(socket, image, transitional)) {
      run("probe")
          .assertOk()
          .assertPrints(
              socket + " on PCI",
              "blk (device id 2)",
              "transitional: modern and legacy; asked by the modern one",
              "MSI-X with 3 vectors, pin INTA",
              "2, each of up to ",
              "VIRTIO_F_VERSION_1",
              "16384 sectors (8 MiB)");
      run("probe --legacy --json")
          .assertOk()
          .assertPrints(
              "\"askedByLegacy\":true", "\"id\":2,\"name\":\"blk\"", "\"capacity\":16384");
      run("probe --device=blk").assertFails(2, "--device goes with");
    }
  }

  @Test
  void whatIsNotThere() throws IOException {
    run("probe").assertFails(1, "there is no socket", "jvirtio pci blk");
    run("copy", folder.resolve("x").toString()).assertFails(1, "there is no socket");
    try (Served _ = new Served(socket, image, PciOptions.defaults())) {
      run("probe --legacy").assertFails(1, "legacy");
    }
    Files.deleteIfExists(socket);
    Path vhost = folder.resolve("v");
    try (ServedDisk _ = new ServedDisk(vhost, image)) {
      socket = vhost;
      run("probe --timeout=0.5").assertFails(1, vhost.toString());
    }
  }
}
