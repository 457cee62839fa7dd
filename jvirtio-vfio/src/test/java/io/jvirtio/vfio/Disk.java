// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.transport.pci.PciDriverTransport;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;

/** A disk at a server, its driver at the client, and maybe somebody between the two. */
final class Disk implements AutoCloseable {
  private static final int QUEUES = 2;
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  final MemoryBackend data = new MemoryBackend(16 << 20);
  final VfioUserServer server;
  final BlkDriver driver;

  /** Null for none. */
  final Relay relay;

  private final UnixServerSocket socket;
  private final Thread control;
  private final EventLoop loop;

  /**
   * Starts all of it.
   *
   * @param relayed whether there is somebody between
   * @param deadline of the client, for each reply
   */
  Disk(Path folder, DiskTest.Kind kind, boolean relayed, Duration deadline) throws IOException {
    BlkOptions options = BlkOptions.builder().queues(QUEUES).serial("over-vfio").build();
    server = new VfioUserServer(new BlkDevice(data, options), kind.function, Served.options());
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
    Path between = folder.resolve("r");
    relay = relayed ? new Relay(between, path, kind.shared()) : null;
    loop = EventLoop.start("driver", LoopMode.EVENT, (source, fault) -> fault.printStackTrace());
    VfioUserAccess access = VfioUserAccess.connect(relayed ? between : path, deadline);
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
    if (relay != null) {
      relay.close();
    }
    endServer();
    socket.close();
    server.close();
  }
}
