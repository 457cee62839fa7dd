// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.testkit.EchoDevice;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

/** A server of an {@link EchoDevice} at a socket, with its control thread. */
final class BackEnd implements AutoCloseable {
  final EchoDevice device = new EchoDevice();
  final VhostUserServer server;
  final Thread control;
  private final Path path;
  private final UnixServerSocket socket;
  private final AtomicReference<Throwable> failure = new AtomicReference<>();

  BackEnd(Path directory) throws IOException {
    this(directory, options());
  }

  BackEnd(Path directory, VhostUserOptions options) throws IOException {
    path = directory.resolve("s");
    server = new VhostUserServer(device, options);
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

  static VhostUserOptions options() {
    return VhostUserOptions.defaults().withMode(LoopMode.EVENT).withWorkers(2);
  }

  FrontEnd connect() throws IOException {
    return connect(RingFormat.SPLIT);
  }

  FrontEnd connect(RingFormat format) throws IOException {
    return new FrontEnd(UnixSocket.connect(path, null, Duration.ofSeconds(20)), format);
  }

  /** A whole session that must work: the proof that whatever was before did no lasting harm. */
  void serveOneMore() throws IOException {
    try (FrontEnd next = connect()) {
      next.negotiate();
      next.shareMemory();
      FrontEnd.Ring ring = next.ring(0);
      next.start(ring, 0);
      next.driverOk();
      ring.echo("once more");
      assertEquals(ring.base(1), next.stop(ring));
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
