// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.Mapping;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Between one client and a server, whose client it is: it may keep the memory that the client
 * shares to itself, and may answer worse than the server does.
 */
final class Relay implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
  private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT;

  private final Waker waker = new Waker();
  private final UnixServerSocket listening;
  private final Path server;
  private final boolean shares;
  private final Thread thread;
  private final ConcurrentHashMap<Long, Mapping> memory = new ConcurrentHashMap<>();

  /** No reply gets through any more. */
  volatile boolean silent;

  /** Descriptors go along with each reply. */
  volatile boolean generous;

  /** Commands of the server that were served. */
  volatile int served;

  Relay(Path path, Path server, boolean shares) throws IOException {
    this.server = server;
    this.shares = shares;
    listening = UnixServerSocket.bind(path, waker);
    thread = Thread.ofPlatform().name("relay").start(this::run);
  }

  /** A direction: messages until the end. */
  private interface Handler {
    void handle(MemorySegment message, int size, List<Fd> fds) throws IOException;
  }

  private void run() {
    try (UnixSocket client = listening.accept();
        UnixSocket to = UnixSocket.connect(server, waker, PATIENCE)) {
      Thread back =
          Thread.ofPlatform()
              .name("relay back")
              .start(
                  () -> {
                    each(to, (message, size, fds) -> back(message, size, client, to));
                    waker.wake();
                  });
      each(client, (message, size, fds) -> forth(message, size, fds, to));
      waker.wake();
      back.join();
    } catch (IOException end) {
      // Nobody came.
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private static void each(UnixSocket from, Handler handler) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment message = arena.allocate(2 << 20, 8);
      List<Fd> fds = new ArrayList<>();
      while (from.receive(message, 16, fds::add)) {
        int size = message.get(INT, 4);
        MemorySegment rest = message.asSlice(16);
        if (size > 16 && !from.receive(rest, size - 16, fds::add)) {
          return;
        }
        handler.handle(message, size, fds);
        fds.forEach(Fd::close);
        fds.clear();
      }
    } catch (IOException end) {
      // It has gone.
    }
  }

  private void forth(MemorySegment message, int size, List<Fd> fds, UnixSocket to)
      throws IOException {
    if (!shares && message.get(SHORT, 2) == VfioUserCommand.DMA_MAP.id()) {
      long bytes = message.get(LONG, 40);
      memory.put(message.get(LONG, 32), Mapping.shared(fds.getFirst(), 0, bytes));
      send(to, message, size);
    } else {
      send(to, message, size, fds.stream().mapToInt(Fd::value).toArray());
    }
  }

  private void back(MemorySegment message, int size, UnixSocket client, UnixSocket to)
      throws IOException {
    if (message.get(INT, 8) == 0) {
      serve(message, to);
    } else if (!silent) {
      int fd = client.fd().value();
      send(client, message, size, generous ? new int[] {fd, fd, fd} : new int[0]);
    }
  }

  private void serve(MemorySegment command, UnixSocket to) throws IOException {
    served++;
    long address = command.get(LONG, 16);
    int count = (int) command.get(LONG, 24);
    MemorySegment part = null;
    for (var region : memory.entrySet()) {
      long offset = address - region.getKey();
      if (offset >= 0 && offset < region.getValue().size()) {
        part = region.getValue().segment().asSlice(offset, count);
      }
    }
    boolean read = command.get(SHORT, 2) == VfioUserCommand.DMA_READ.id();
    MemorySegment data = command.asSlice(32, count);
    if (read) {
      data.copyFrom(part);
    } else {
      part.copyFrom(data);
    }
    int size = read ? 32 + count : 32;
    command.set(INT, 4, size);
    command.set(INT, 8, 1);
    send(to, command, size);
  }

  private static void send(UnixSocket to, MemorySegment message, int size, int... fds)
      throws IOException {
    synchronized (to) {
      to.send(message, size, fds);
    }
  }

  @Override
  public void close() {
    waker.wake();
    try {
      thread.join();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
    listening.close();
    waker.close();
    memory.values().forEach(Mapping::close);
  }
}
