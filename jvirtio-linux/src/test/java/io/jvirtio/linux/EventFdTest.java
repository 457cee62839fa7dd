// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.raw.RawMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class EventFdTest {
  @Test
  void signalsAddUpUntilDrained() throws LinuxException {
    try (EventFd event = EventFd.create()) {
      assertEquals(0, event.drain());
      event.signal();
      event.signal();
      assertEquals(2, event.drain());
      assertEquals(0, event.drain());
    }
  }

  @Test
  void aFullCounterDoesNotBlock() throws LinuxException {
    try (EventFd event = EventFd.create();
        Arena arena = Arena.ofConfined()) {
      MemorySegment most = arena.allocate(8, 8);
      RawMemory.putLong(most.address(), -2L);
      assertEquals(8, Libc.call(SystemCall.WRITE, event.fd().value(), most.address(), 8));
      event.signal();
      assertEquals(-2L, event.drain());
    }
  }

  @Test
  void whatAPeerSentNeverBlocks() throws LinuxException {
    // A blocking eventfd whose counter is full would stop whoever signals it.
    long raw = LinuxException.check("eventfd", Libc.call(SystemCall.EVENTFD2, 0, 0, 0));
    try (EventFd event = EventFd.of(new Fd((int) raw));
        Arena arena = Arena.ofConfined()) {
      MemorySegment most = arena.allocate(8, 8);
      RawMemory.putLong(most.address(), -2L);
      LinuxException.check("write", Libc.call(SystemCall.WRITE, raw, most.address(), 8));
      event.signal();
      assertEquals(-2L, event.drain());
      assertEquals(0, event.drain());
    }
  }

  @Test
  void afterCloseSignalFails() throws LinuxException {
    EventFd event = EventFd.create();
    event.close();
    event.close();
    assertFalse(event.fd().isOpen());
    assertEquals(Errno.EBADF, assertThrows(LinuxException.class, event::signal).errno());
    assertThrows(LinuxException.class, event::drain);
    assertThrows(LinuxException.class, () -> EventFd.of(event.fd()));
  }

  // A peer shares the open file and can make it blocking again after it was sent.
  @Test
  void drainDoesNotBlockThoughThePeerMadeTheFileBlocking() throws Exception {
    try (EventFd event = EventFd.create()) {
      int setFlags = 4;
      long result = Libc.call(SystemCall.FCNTL, event.fd().value(), setFlags, 0);
      LinuxException.check("fcntl", result);
      assertEquals(0, event.drain());
      event.signal();
      event.signal();
      assertEquals(2, event.drain());
    }
  }
}
