// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.drivers.rng.RngDriver;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.transport.inprocess.InProcessTransport;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FirstSectorTest {
  @TempDir Path folder;

  private VhostUserTransport connect(Path path, DeviceType type) throws IOException {
    return VhostUserTransport.connect(path, type.id(), VhostUserFrontEndOptions.defaults());
  }

  private interface Client {
    void use(Path socket) throws IOException;
  }

  private void serve(VirtioDevice device, Client client) throws Exception {
    Path path = folder.resolve("device.sock");
    try (VhostUserServer server = new VhostUserServer(device, VhostUserOptions.defaults());
        UnixServerSocket socket = UnixServerSocket.bind(path, server.waker())) {
      Thread thread =
          Thread.ofPlatform()
              .start(
                  () -> {
                    try {
                      server.serve(socket);
                    } catch (IOException e) {
                      throw new UncheckedIOException(e);
                    }
                  });
      try {
        client.use(path);
      } finally {
        server.stop();
        thread.join();
      }
    }
  }

  @Test
  void theFirstSectorOfADiskThatIsServed() throws Exception {
    byte[] content = new byte[512];
    new Random(1).nextBytes(content);
    BlkDevice device = new BlkDevice(new MemoryBackend(1 << 20), BlkOptions.defaults());
    serve(
        device,
        path -> {
          assertEquals(512, FirstSector.read(connect(path, DeviceType.BLOCK)).length);
          try (EventLoop loop = EventLoop.start("writer", LoopMode.EVENT, (source, fault) -> {});
              BlkDriver disk =
                  BlkDriver.open(connect(path, DeviceType.BLOCK), BlkDriverOptions.of(loop))) {
            disk.write(0, MemorySegment.ofArray(content));
          }
          assertArrayEquals(content, FirstSector.read(connect(path, DeviceType.BLOCK)));
        });
  }

  @Test
  void theEntropyDeviceAndTheEntropyDriverOfThisHouse() throws Exception {
    InlineOwner owner = new InlineOwner();
    byte[] inProcess = new byte[10_000];
    try (RngDriver driver = RngDriver.open(new InProcessTransport(new RngDevice(), owner), owner)) {
      driver.read(MemorySegment.ofArray(inProcess));
    }
    byte[] byVhostUser = new byte[10_000];
    serve(
        new RngDevice(),
        path -> {
          try (EventLoop loop = EventLoop.start("rng", LoopMode.EVENT, (source, fault) -> {});
              RngDriver driver = RngDriver.open(connect(path, DeviceType.ENTROPY), loop)) {
            driver.read(MemorySegment.ofArray(byVhostUser));
          }
        });
    assertLooksRandom(inProcess);
    assertLooksRandom(byVhostUser);
  }

  /** Random bytes have every value, and none too often. */
  private static void assertLooksRandom(byte[] bytes) {
    int[] count = new int[256];
    for (byte value : bytes) {
      count[value & 0xff]++;
    }
    int most = 0;
    int missing = 0;
    for (int n : count) {
      most = Math.max(most, n);
      missing += n == 0 ? 1 : 0;
    }
    assertEquals(0, missing, "values that never came");
    assertEquals(true, most < bytes.length / 64, "a value came " + most + " times");
  }
}
