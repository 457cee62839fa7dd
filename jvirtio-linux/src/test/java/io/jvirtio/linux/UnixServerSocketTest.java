// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.SocketTimeoutException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class UnixServerSocketTest {
  private static final Duration SOON = Duration.ofSeconds(20);

  @TempDir Path directory;
  private OpenFds before;
  private Path path;

  @BeforeEach
  void count() throws IOException {
    before = OpenFds.now();
    path = directory.resolve("s");
  }

  @AfterEach
  void nothingLeaks() throws IOException {
    before.assertUnchanged();
  }

  private LinuxException refused(Path target) {
    return assertThrows(LinuxException.class, () -> UnixServerSocket.bind(target, null));
  }

  @Test
  void aClientConnectsAndTalks() throws IOException {
    try (Arena arena = Arena.ofConfined();
        UnixServerSocket server = UnixServerSocket.bind(path, null)) {
      MemorySegment buffer = arena.allocate(8);
      assertFalse(server.awaitReadable(0));
      try (UnixSocket client = UnixSocket.connect(path, null, SOON)) {
        assertTrue(server.awaitReadable(-1));
        try (UnixSocket accepted = server.accept()) {
          client.send(buffer, 8);
          assertTrue(accepted.receive(buffer, 8, Fd::close));
          accepted.send(buffer, 1);
          assertTrue(client.receive(buffer, 1, Fd::close));
        }
      }
    }
    assertFalse(Files.exists(path));
  }

  @Test
  void aStaleSocketIsReplaced() throws IOException {
    UnixServerSocket dead = UnixServerSocket.bind(path, null);
    dead.fd().close(); // As when its process was killed: the file stays.
    dead.close();
    assertTrue(Files.exists(path));
    LinuxException e =
        assertThrows(LinuxException.class, () -> UnixSocket.connect(path, null, SOON));
    assertEquals(Errno.ECONNREFUSED, e.errno());
    try (UnixServerSocket server = UnixServerSocket.bind(path, null);
        UnixSocket client = UnixSocket.connect(path, null, SOON)) {
      server.accept().close();
      assertTrue(client.awaitReadable(-1));
    }
  }

  @Test
  void aLivingServerIsNot() throws IOException {
    try (UnixServerSocket server = UnixServerSocket.bind(path, null)) {
      LinuxException e = refused(path);
      assertEquals(Errno.EADDRINUSE, e.errno());
      assertTrue(e.getMessage().contains("another server listens"), e.getMessage());
      // The probe has connected and left; who comes next is served.
      server.accept().close();
      try (UnixSocket client = UnixSocket.connect(path, null, SOON)) {
        server.accept().close();
        assertTrue(client.awaitReadable(-1));
      }
    }
  }

  @Test
  void aBusyServerLivesToo() throws IOException {
    List<UnixSocket> clients = new ArrayList<>();
    try (UnixServerSocket server = UnixServerSocket.bind(path, null)) {
      assertThrows(
          SocketTimeoutException.class,
          () -> {
            while (clients.size() < 10_000) {
              clients.add(UnixSocket.connect(path, null, Duration.ofMillis(20)));
            }
          });
      assertEquals(Errno.EADDRINUSE, refused(path).errno());
      assertFalse(clients.isEmpty());
      assertTrue(server.awaitReadable(0));
    } finally {
      clients.forEach(UnixSocket::close);
    }
  }

  @Test
  void otherFilesAreLeftAlone() throws IOException {
    Files.writeString(path, "precious");
    LinuxException e = refused(path);
    assertEquals(Errno.EADDRINUSE, e.errno());
    assertTrue(e.getMessage().contains("not a socket"), e.getMessage());
    assertEquals("precious", Files.readString(path));
    Path link = Files.createSymbolicLink(directory.resolve("link"), path);
    assertTrue(refused(link).getMessage().contains("not a socket"));
  }

  @Test
  void aMissingDirectoryIsNamed() {
    Path missing = directory.resolve("nowhere/s");
    LinuxException e = refused(missing);
    assertEquals(Errno.ENOENT, e.errno());
    assertTrue(
        e.getMessage().contains("there is no directory " + missing.getParent()), e.getMessage());
  }

  @Test
  void aPathThatDoesNotFitIsRefused() throws IOException {
    // Reached through a symbolic link, so that the length is the same wherever the directory is.
    Path link = Files.createTempFile("jvl", "");
    Files.delete(link);
    Files.createSymbolicLink(link, directory);
    try {
      String prefix = link + "/";
      Path longest = Path.of(prefix + "x".repeat(107 - prefix.length()));
      try (UnixServerSocket server = UnixServerSocket.bind(longest, null);
          UnixSocket client = UnixSocket.connect(longest, null, SOON)) {
        server.accept().close();
        assertTrue(client.awaitReadable(-1));
      }
      Path tooLong = Path.of(longest + "x");
      LinuxException e = refused(tooLong);
      assertEquals(Errno.ENAMETOOLONG, e.errno());
      assertTrue(e.getMessage().contains("108 bytes"), e.getMessage());
      assertThrows(LinuxException.class, () -> UnixSocket.connect(tooLong, null, SOON));
    } finally {
      Files.delete(link);
    }
  }

  @Test
  void closeRemovesOnlyItsOwnFile() throws IOException {
    UnixServerSocket first = UnixServerSocket.bind(path, null);
    Files.delete(path);
    try (UnixServerSocket second = UnixServerSocket.bind(path, null)) {
      first.close();
      first.close();
      assertTrue(Files.exists(path));
      assertTrue(second.fd().isOpen());
    }
    assertFalse(Files.exists(path));
  }

  @Test
  void listeningAndConnectedAreToldApart() throws IOException {
    try (UnixServerSocket server = UnixServerSocket.bind(path, null);
        UnixSocketPair pair = new UnixSocketPair(null);
        EventFd event = EventFd.create()) {
      assertTrue(UnixServerSocket.isListening(server.fd()));
      assertFalse(UnixServerSocket.isListening(pair.a.fd()));
      LinuxException e =
          assertThrows(LinuxException.class, () -> UnixServerSocket.isListening(event.fd()));
      assertEquals(Errno.ENOTSOCK, e.errno());
      e = assertThrows(LinuxException.class, () -> UnixServerSocket.of(pair.a.fd(), null));
      assertEquals(Errno.EINVAL, e.errno());
    }
  }

  @Test
  void anInheritedSocketServes() throws IOException {
    try (UnixServerSocket parent = UnixServerSocket.bind(path, null)) {
      try (UnixServerSocket server = UnixServerSocket.of(parent.fd().duplicate(), null);
          UnixSocket client = UnixSocket.connect(path, null, SOON)) {
        server.accept().close();
        assertTrue(client.awaitReadable(-1));
      }
      assertTrue(Files.exists(path));
    }
  }

  @Test
  void aWakerEndsAccept() throws Exception {
    try (Waker waker = new Waker();
        UnixServerSocket server = UnixServerSocket.bind(path, waker)) {
      CompletableFuture<Class<?>> outcome =
          CompletableFuture.supplyAsync(
              () -> assertThrows(IOException.class, server::accept).getClass());
      waker.wake();
      assertEquals(WokenException.class, outcome.get(30, TimeUnit.SECONDS));
      assertFalse(server.awaitReadable(-1));
    }
  }

  @Test
  void connectingToNothingSaysSo() {
    LinuxException e =
        assertThrows(LinuxException.class, () -> UnixSocket.connect(path, null, null));
    assertEquals(Errno.ENOENT, e.errno());
  }
}
