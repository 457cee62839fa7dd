// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.linux.EventFd;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.junit.jupiter.api.Test;

/**
 * A client shares the open file of its eventfds. It can make one blocking again after it was sent,
 * and fill its counter: the next interrupt then blocks whoever sends it.
 */
class HeldInterruptTest extends WithClient {
  private static final int F_SETFL = 4;
  private static final long FULL = 0xffff_ffff_ffff_fffeL;

  private Client.Ring held() throws Throwable {
    Client.Ring ring = client.start();
    EventFd event = client.event(VfioUserCodec.IRQ_MSIX, 1);
    client.enableMsix();
    ring.echo("well-behaved");
    Await.until("an interrupt", () -> event.drain() > 0);
    fillAndMakeBlocking(event);
    // Used buffers are published before they are announced.
    ring.echo("held");
    return ring;
  }

  @Test
  void theNextClientIsServedAllTheSame() throws Throwable {
    held();
  }

  @Test
  void anotherEventLetsTheWorkerGo() throws Throwable {
    Client.Ring ring = held();
    client.event(VfioUserCodec.IRQ_MSIX, 1);
    ring.echo("goes on");
  }

  @Test
  void theControlThreadIsNotHeld() throws Throwable {
    Client.Ring ring = held();
    client.call(
        VfioUserCommand.DEVICE_SET_IRQS,
        Client.irqs(Client.DATA_NONE | Client.TRIGGER, VfioUserCodec.IRQ_MSIX, 1, 1));
    ring.echo("goes on");
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
