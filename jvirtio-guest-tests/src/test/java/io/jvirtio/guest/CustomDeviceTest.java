// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.examples.RngDevice;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The device of thirty lines that the README shows, driven by Linux. */
class CustomDeviceTest {
  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(
      value = Machine.class,
      names = {"DEBIAN_12", "DEBIAN_13"})
  void linuxReadsRandomBytesFromTheExample(Machine machine) throws Exception {
    Path path = folder.resolve("rng.sock");
    String script =
        """
        say current=$(cat /sys/class/misc/hw_random/rng_current)
        say first=$(dd if=/dev/hwrng bs=256 count=8 2>/dev/null | sha256sum | cut -d' ' -f1)
        say second=$(dd if=/dev/hwrng bs=256 count=8 2>/dev/null | sha256sum | cut -d' ' -f1)
        """;
    try (VhostUserServer server =
            new VhostUserServer(new RngDevice(), VhostUserOptions.defaults().withOneShot(true));
        UnixServerSocket socket = UnixServerSocket.bind(path, server.waker())) {
      CompletableFuture<Void> served =
          CompletableFuture.runAsync(
              () -> {
                try {
                  server.serve(socket);
                } catch (IOException e) {
                  throw new UncheckedIOException(e);
                }
              });
      try (Guest guest = Guest.on(machine, folder).device("rng", path).boot(script)) {
        guest.awaitEnd();
        assertTrue(guest.value("current").startsWith("virtio_rng"), guest.value("current"));
        assertEquals(64, guest.value("first").length());
        assertTrue(!guest.value("first").equals(guest.value("second")));
      } finally {
        server.stop();
        served.join();
      }
      assertTrue(server.stats().chains() >= 16, server.stats().toString());
      assertEquals(0, server.stats().faults());
    }
  }
}
