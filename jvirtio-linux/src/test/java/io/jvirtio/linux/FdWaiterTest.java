// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.FdWaiter.Interest;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class FdWaiterTest {
  private static final Duration LONG = Duration.ofSeconds(30);
  private static final Duration SHORT = Duration.ofMillis(5);

  private final FdWaiter waiter = new FdWaiter();
  private OpenFds before;

  @BeforeEach
  void count() throws IOException {
    before = OpenFds.now();
  }

  @AfterEach
  void nothingLeaks() throws IOException {
    before.assertUnchanged();
  }

  private static void send(UnixSocket socket) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(8);
      socket.send(bytes, 8);
    }
  }

  private static boolean receive(UnixSocket socket) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      return socket.receive(arena.allocate(8), 8, Fd::close);
    }
  }

  @Test
  void dataIsNoHangUp() throws Exception {
    try (UnixSocketPair pair = new UnixSocketPair(null)) {
      assertEquals(0, waiter.add(pair.a.fd(), Interest.HANG_UP));
      send(pair.b);
      assertEquals(0, waiter.await(SHORT));
      pair.b.close();
      assertEquals(1, waiter.await(LONG));
      // Nobody has read what came before, which is still there.
      assertTrue(receive(pair.a));
      assertFalse(receive(pair.a));
      assertEquals(1, waiter.await(null));
    }
  }

  @Test
  void aPeerThatLeavesEndsTheWaitOfAnotherThread() throws Exception {
    try (UnixSocketPair control = new UnixSocketPair(null);
        UnixSocketPair second = new UnixSocketPair(null);
        Waker waker = new Waker()) {
      waiter.add(control.a.fd(), Interest.HANG_UP);
      waiter.add(second.a.fd(), Interest.READABLE);
      waiter.add(waker);
      FutureTask<Long> wait = new FutureTask<>(() -> waiter.await(LONG));
      Thread.ofPlatform().daemon().start(wait);
      send(control.b);
      control.b.close();
      assertEquals(0b001, wait.get(30, TimeUnit.SECONDS));
    }
  }

  @Test
  void eachSlotHasItsBit() throws Exception {
    try (UnixSocketPair control = new UnixSocketPair(null);
        UnixSocketPair second = new UnixSocketPair(null);
        Waker waker = new Waker()) {
      assertEquals(0, waiter.add(control.a.fd(), Interest.HANG_UP));
      assertEquals(1, waiter.add(second.a.fd(), Interest.READABLE));
      assertEquals(2, waiter.add(waker));
      assertEquals(0, waiter.await(Duration.ZERO));
      send(second.b);
      assertEquals(0b010, waiter.await(LONG));
      waker.wake();
      assertEquals(0b110, waiter.await(LONG));
      waker.reset();
      assertTrue(receive(second.a));
      assertEquals(0, waiter.await(SHORT));
      second.b.close();
      assertEquals(0b010, waiter.await(LONG));
      control.b.close();
      assertEquals(0b011, waiter.await(LONG));
    }
  }

  @Test
  void aWakerEndsAWaitWithoutLimit() throws Exception {
    try (Waker waker = new Waker()) {
      waiter.add(waker);
      FutureTask<Long> wait = new FutureTask<>(() -> waiter.await(null));
      Thread.ofPlatform().daemon().start(wait);
      waker.wake();
      assertEquals(1, wait.get(30, TimeUnit.SECONDS));
    }
  }

  @Test
  void slotsAreFreedAndUsedAgain() throws Exception {
    try (Waker waker = new Waker();
        Waker other = new Waker()) {
      for (int slot = 0; slot < FdWaiter.MAX_FDS; slot++) {
        assertEquals(slot, waiter.add(waker));
      }
      assertThrows(IllegalStateException.class, () -> waiter.add(other));
      waker.wake();
      assertEquals(-1L, waiter.await(LONG));
      waiter.remove(63);
      waiter.remove(5);
      assertEquals(~(1L << 63 | 1L << 5), waiter.await(LONG));
      assertThrows(IllegalArgumentException.class, () -> waiter.remove(5));
      assertThrows(IllegalArgumentException.class, () -> waiter.remove(-1));
      assertThrows(IllegalArgumentException.class, () -> waiter.remove(64));
      assertEquals(5, waiter.add(other));
      assertEquals(~(1L << 63 | 1L << 5), waiter.await(LONG));
      other.wake();
      assertEquals(Long.MAX_VALUE, waiter.await(LONG));
    }
  }

  @Test
  void aClosedDescriptorIsAnError() throws Exception {
    Waker waker = new Waker();
    Fd stale = new Fd(99_999);
    waiter.add(waker);
    waker.close();
    LinuxException e = assertThrows(LinuxException.class, () -> waiter.await(LONG));
    assertEquals(Errno.EBADF, e.errno());
    waiter.remove(0);
    waiter.add(stale, Interest.HANG_UP);
    e = assertThrows(LinuxException.class, () -> waiter.await(LONG));
    assertEquals(Errno.EBADF, e.errno());
  }

  @Test
  void aWaitAllocatesNothing() throws Exception {
    int rounds = 20_000;
    Allocations allocations = new Allocations();
    try (Waker waker = new Waker();
        UnixSocketPair pair = new UnixSocketPair(null)) {
      waiter.add(waker);
      waiter.add(pair.a.fd(), Interest.HANG_UP);
      waker.wake();
      long bytes = Long.MAX_VALUE;
      // The interpreter does allocate; how long until the compiler has come depends on the machine.
      long deadline = System.nanoTime() + LONG.toNanos();
      while (bytes >= rounds / 10 && System.nanoTime() < deadline) {
        long start = allocations.ofCurrentThread();
        for (int i = 0; i < rounds; i++) {
          waiter.await(LONG);
        }
        bytes = allocations.ofCurrentThread() - start;
      }
      assertTrue(bytes < rounds / 10, bytes + " bytes");
    }
  }
}
