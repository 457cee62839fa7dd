// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.raw.RawMemory;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class UnixSocketTest {
  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate(1 << 16, 8);
  private final List<Fd> received = new ArrayList<>();
  private OpenFds before;

  @BeforeEach
  void count() throws IOException {
    before = OpenFds.now();
  }

  @AfterEach
  void nothingLeaks() throws IOException {
    received.forEach(Fd::close);
    before.assertUnchanged();
    arena.close();
  }

  private static <T> T get(CompletableFuture<T> future)
      throws InterruptedException, ExecutionException, TimeoutException {
    return future.get(30, TimeUnit.SECONDS);
  }

  @Test
  void memoryTravelsAsADescriptor() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null);
        Fd memfd = Memfd.create("travel", 4096);
        Mapping here = Mapping.shared(memfd, 0, 4096)) {
      RawMemory.putLong(here.address(), 42);
      pair.a.send(buffer, 20, memfd.value());
      assertTrue(pair.b.receive(buffer, 20, received::add));
      assertEquals(1, received.size());
      try (Mapping there = Mapping.shared(received.get(0), 0, 4096)) {
        assertEquals(42, RawMemory.getLong(there.address()));
        RawMemory.putLong(there.address(), 43);
        assertEquals(43, RawMemory.getLong(here.address()));
      }
    }
  }

  @Test
  void asManyDescriptorsAsTheKernelAllows() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null);
        Fd memfd = Memfd.create("many", 1)) {
      int[] fds = new int[UnixSocket.MAX_FDS];
      Arrays.fill(fds, memfd.value());
      pair.a.send(buffer, 1, fds);
      assertTrue(pair.b.receive(buffer, 1, received::add));
      assertEquals(UnixSocket.MAX_FDS, received.size());
      int[] tooMany = Arrays.copyOf(fds, fds.length + 1);
      assertThrows(IllegalArgumentException.class, () -> pair.a.send(buffer, 1, tooMany));
      assertThrows(IllegalArgumentException.class, () -> pair.a.send(buffer, 0, fds));
    }
  }

  @Test
  void aMessageMayArriveInPieces() throws Exception {
    try (UnixSocketPair pair = new UnixSocketPair(null);
        Fd memfd = Memfd.create("pieces", 1)) {
      MemorySegment target = arena.allocate(10);
      CompletableFuture<Boolean> done =
          CompletableFuture.supplyAsync(
              () -> {
                try {
                  return pair.b.receive(target, 10, received::add);
                } catch (IOException e) {
                  throw new AssertionError(e);
                }
              });
      for (int i = 0; i < 10; i++) {
        RawMemory.putByte(buffer.address(), i);
        if (i == 0 || i == 7) {
          pair.a.send(buffer, 1, memfd.value());
        } else {
          pair.a.send(buffer, 1);
        }
      }
      assertTrue(get(done));
      assertEquals(2, received.size());
      for (int i = 0; i < 10; i++) {
        assertEquals(i, RawMemory.getByte(target.address() + i));
      }
    }
  }

  @Test
  void descriptorsWithoutRoomAreClosedAndReported() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null, 1);
        Fd memfd = Memfd.create("truncated", 1)) {
      int fd = memfd.value();
      pair.a.send(buffer, 4, fd, fd, fd, fd, fd);
      LinuxException e =
          assertThrows(LinuxException.class, () -> pair.b.receive(buffer, 4, received::add));
      assertEquals(Errno.EMFILE, e.errno());
      assertTrue(received.isEmpty());
    }
  }

  @Test
  void aSinkThatThrowsLeaksNothing() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null);
        Fd memfd = Memfd.create("throws", 1)) {
      int fd = memfd.value();
      pair.a.send(buffer, 4, fd, fd, fd);
      FdSink sink =
          taken -> {
            received.add(taken);
            throw new IllegalStateException("enough");
          };
      assertThrows(IllegalStateException.class, () -> pair.b.receive(buffer, 4, sink));
      assertEquals(1, received.size());
    }
  }

  @Test
  void theEndIsNoErrorBetweenMessages() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null)) {
      pair.a.send(buffer, 3);
      pair.a.close();
      assertTrue(pair.b.receive(buffer, 3, received::add));
      assertFalse(pair.b.receive(buffer, 3, received::add));
      assertTrue(pair.b.receive(buffer, 0, received::add));
    }
  }

  @Test
  void theEndInTheMiddleIsOne() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null);
        Fd memfd = Memfd.create("middle", 1)) {
      pair.a.send(buffer, 3, memfd.value());
      pair.a.close();
      assertThrows(EOFException.class, () -> pair.b.receive(buffer, 4, received::add));
      assertEquals(1, received.size());
    }
  }

  @Test
  void sendingToNobodyFails() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null)) {
      pair.a.close();
      LinuxException e = assertThrows(LinuxException.class, () -> pair.b.send(buffer, 1));
      assertEquals(Errno.EPIPE, e.errno());
      assertThrows(LinuxException.class, () -> pair.a.send(buffer, 1));
      assertThrows(LinuxException.class, () -> pair.a.awaitReadable(0));
    }
  }

  @Test
  void moreThanTheSocketHoldsIsSentInParts() throws Exception {
    int size = 8 << 20;
    MemorySegment source = arena.allocate(size, 8);
    MemorySegment target = arena.allocate(size, 8);
    for (int i = 0; i < size; i += 8) {
      RawMemory.putLong(source.address() + i, i * 0x9e3779b97f4a7c15L);
    }
    try (UnixSocketPair pair = new UnixSocketPair(null);
        Fd memfd = Memfd.create("parts", 1)) {
      CompletableFuture<Void> sent =
          CompletableFuture.runAsync(
              () -> {
                try {
                  pair.a.send(source, size, memfd.value());
                } catch (IOException e) {
                  throw new AssertionError(e);
                }
              });
      assertTrue(pair.b.receive(target, size, received::add));
      get(sent);
      assertEquals(1, received.size());
      assertEquals(-1, source.mismatch(target));
    }
  }

  @Test
  void waitsHaveADeadline() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null)) {
      pair.b.setReceiveTimeout(Duration.ofMillis(20));
      pair.a.send(buffer, 3);
      assertThrows(SocketTimeoutException.class, () -> pair.b.receive(buffer, 4, received::add));
      pair.a.setSendTimeout(Duration.ofMillis(20));
      assertThrows(
          SocketTimeoutException.class,
          () -> {
            for (int i = 0; i < 10_000; i++) {
              pair.a.send(buffer, 1 << 16);
            }
          });
    }
  }

  @Test
  void awaitReadableTellsDataFromTime() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null)) {
      assertFalse(pair.b.awaitReadable(0));
      assertFalse(pair.b.awaitReadable(10));
      pair.a.send(buffer, 1);
      assertTrue(pair.b.awaitReadable(-1));
      assertTrue(pair.b.receive(buffer, 1, received::add));
      assertFalse(pair.b.awaitReadable(0));
      pair.a.close();
      assertTrue(pair.b.awaitReadable(-1));
    }
  }

  @Test
  void aWakerEndsWaitsUntilReset() throws Exception {
    try (Waker waker = new Waker();
        UnixSocketPair pair = new UnixSocketPair(waker)) {
      CompletableFuture<Class<?>> outcome =
          CompletableFuture.supplyAsync(
              () ->
                  assertThrows(IOException.class, () -> pair.b.receive(buffer, 1, received::add))
                      .getClass());
      waker.wake();
      assertEquals(WokenException.class, get(outcome));
      assertThrows(WokenException.class, () -> pair.b.receive(buffer, 1, received::add));
      pair.a.send(buffer, 1);
      assertFalse(pair.b.awaitReadable(-1));
      waker.reset();
      assertTrue(pair.b.awaitReadable(-1));
      assertTrue(pair.b.receive(buffer, 1, received::add));
    }
  }

  @Test
  void wakingAfterCloseDoesNothing() throws LinuxException {
    Waker waker = new Waker();
    waker.close();
    waker.close();
    waker.wake();
    assertThrows(LinuxException.class, waker::reset);
  }

  @Test
  void receivesWhatHasArrived() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null);
        Fd memfd = Memfd.create("along", 1)) {
      buffer.setString(0, "some");
      pair.a.send(buffer, 4, memfd.value());
      buffer.fill((byte) 0);
      assertEquals(4, pair.b.receiveSome(buffer));
      assertEquals("some", buffer.getString(0));
      pair.b.setReceiveTimeout(Duration.ofMillis(5));
      assertThrows(SocketTimeoutException.class, () -> pair.b.receiveSome(buffer));
      assertThrows(IllegalArgumentException.class, () -> pair.b.receiveSome(buffer.asSlice(0, 0)));
      pair.a.close();
      assertEquals(0, pair.b.receiveSome(buffer));
    }
  }

  @Test
  void onlyNativeMemoryWithinBounds() throws IOException {
    try (UnixSocketPair pair = new UnixSocketPair(null)) {
      MemorySegment heap = MemorySegment.ofArray(new byte[8]);
      assertThrows(IllegalArgumentException.class, () -> pair.a.send(heap, 1));
      assertThrows(IllegalArgumentException.class, () -> pair.a.receive(heap, 1, received::add));
      assertThrows(IllegalArgumentException.class, () -> pair.a.send(buffer, 65537));
      assertThrows(IllegalArgumentException.class, () -> pair.a.send(buffer, -1));
    }
  }

  @Test
  void anythingButAUnixStreamSocketIsRefused() throws IOException {
    try (EventFd event = EventFd.create();
        UnixSocketPair pair = new UnixSocketPair(null)) {
      LinuxException e = assertThrows(LinuxException.class, () -> UnixSocket.of(event.fd(), null));
      assertEquals(Errno.ENOTSOCK, e.errno());
      int inet = 2;
      try (Fd tcp = new Fd((int) Libc.call(SystemCall.SOCKET, inet, Sockets.SOCK_STREAM, 0))) {
        e = assertThrows(LinuxException.class, () -> UnixSocket.of(tcp, null));
        assertEquals(Errno.EPROTOTYPE, e.errno());
      }
      UnixSocket taken = UnixSocket.of(pair.a.fd(), null);
      taken.send(buffer, 1);
      assertTrue(pair.b.receive(buffer, 1, received::add));
    }
  }
}
