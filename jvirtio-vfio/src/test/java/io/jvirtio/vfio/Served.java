// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.testkit.EchoDevice;
import io.jvirtio.transport.pci.PciOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

/** A server of an {@link EchoDevice} at a socket, with its control thread. */
final class Served implements AutoCloseable {
  final EchoDevice device = new EchoDevice();
  final VfioUserServer server;
  final Thread control;
  private final Path path;
  private final UnixServerSocket socket;
  private final AtomicReference<Throwable> failure = new AtomicReference<>();

  Served(Path directory) throws IOException {
    this(directory, PciOptions.defaults(), options());
  }

  Served(Path directory, PciOptions pci, VfioUserOptions options) throws IOException {
    path = directory.resolve("s");
    server = new VfioUserServer(device, pci, options);
    socket = UnixServerSocket.bind(path, server.waker());
    control =
        Thread.ofPlatform()
            .name("control")
            .start(
                () -> {
                  try {
                    server.serve(socket);
                  } catch (Throwable e) {
                    failure.set(e);
                  }
                });
  }

  static VfioUserOptions options() {
    return VfioUserOptions.defaults().withMode(LoopMode.EVENT).withWorkers(2);
  }

  Client connect() throws IOException {
    return new Client(UnixSocket.connect(path, null, Duration.ofSeconds(20)));
  }

  /** A whole session that must work: the proof that whatever was before did no lasting harm. */
  void serveOneMore() throws IOException {
    try (Client next = connect()) {
      Client.Ring ring = next.start();
      EventFd event = next.event(VfioUserCodec.IRQ_MSIX, 1);
      next.enableMsix();
      ring.echo("once more");
      Await.until("an interrupt", () -> event.drain() > 0);
    }
  }

  /** Serves one session, so that what is opened lazily is open, and lists the descriptors. */
  List<String> warmUp() throws IOException {
    List<String> first = Await.descriptors();
    serveOneMore();
    Await.descriptors(first);
    return first;
  }

  void join() throws InterruptedException {
    control.join(Duration.ofSeconds(20));
    assertFalse(control.isAlive(), "serve has not returned");
    assertEquals(null, failure.get());
  }

  @Override
  public void close() {
    server.stop();
    try {
      join();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    } finally {
      socket.close();
      server.close();
    }
  }
}
