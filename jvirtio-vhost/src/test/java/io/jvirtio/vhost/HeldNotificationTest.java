// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.linux.EventFd;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A front-end shares the open file of its call descriptor. It can make it blocking again after it
 * was sent, and fill its counter: the next notification then blocks the queue's owner.
 */
class HeldNotificationTest {
  private static final int F_SETFL = 4;
  private static final long FULL = 0xffff_ffff_ffff_fffeL;

  @TempDir Path directory;

  @Test
  void theNextFrontEndIsServedAllTheSame() throws Throwable {
    try (BackEnd backEnd = new BackEnd(directory, BackEnd.options().withWorkers(1))) {
      try (FrontEnd frontEnd = backEnd.connect()) {
        frontEnd.negotiate();
        frontEnd.shareMemory();
        FrontEnd.Ring ring = frontEnd.ring(0);
        frontEnd.start(ring, 0);
        frontEnd.driverOk();
        ring.echo("well-behaved");
        frontEnd.sync();
        fillAndMakeBlocking(ring.call);
        ring.submit("held");
        ring.kick.signal();
        // Used buffers are published before they are announced.
        ring.expect("held");
      }
      backEnd.serveOneMore();
    }
  }

  private static void fillAndMakeBlocking(EventFd event) throws Throwable {
    Linker linker = Linker.nativeLinker();
    MethodHandle write =
        linker.downcallHandle(
            linker.defaultLookup().find("write").orElseThrow(),
            FunctionDescriptor.of(
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_INT,
                ValueLayout.ADDRESS,
                ValueLayout.JAVA_LONG));
    MethodHandle fcntl =
        linker.downcallHandle(
            linker.defaultLookup().find("fcntl").orElseThrow(),
            FunctionDescriptor.of(
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_INT),
            Linker.Option.firstVariadicArg(2));
    event.drain();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment count = arena.allocateFrom(ValueLayout.JAVA_LONG, FULL);
      assertEquals(8L, (long) write.invokeExact(event.fd().value(), count, 8L));
    }
    assertEquals(0, (int) fcntl.invokeExact(event.fd().value(), F_SETFL, 0));
  }
}
