// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.testkit.EchoDevice;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The client's side: at our own server, and at one that answers wrongly. */
@Timeout(120)
class VfioUserAccessTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final Duration SHORT = Duration.ofMillis(300);

  @TempDir private Path folder;

  private Path path() {
    return folder.resolve("s");
  }

  @Test
  void readsAndWritesRegisters() throws IOException {
    try (Served served = new Served(folder);
        VfioUserAccess access = VfioUserAccess.connect(path(), PATIENCE)) {
      RegisterWindow config = access.config();
      assertEquals(0x1af4, config.read(0, 2));
      assertEquals(0x1040 + 42, config.read(2, 2));
      assertEquals(EchoDevice.QUEUES + 1, access.msixVectors());
      config.write(4, 2, 6);
      assertEquals(6, config.read(4, 2));
      RegisterWindow bar = access.bar(Client.BAR);
      assertEquals(EchoDevice.QUEUES, bar.read(0x12, 2));
      bar.write(0x14, 1, 1); // posted: what reads it comes after
      assertEquals(1, bar.read(0x14, 1));
      for (int none : new int[] {-1, 0, 6}) {
        assertThrows(IOException.class, () -> access.bar(none));
      }
      for (long outside : new long[] {-1, bar.size() - 3, bar.size(), Long.MAX_VALUE}) {
        assertThrows(IOException.class, () -> bar.read(outside, 4));
        assertThrows(IOException.class, () -> bar.write(outside, 4, 0));
      }
      assertEquals(1, bar.read(0x14, 1));
      assertTrue(served.server.stats().accesses() > 0);
    }
  }

  @Test
  void memoryIsSharedUntilTheEnd() throws IOException {
    List<String> before;
    try (Served served = new Served(folder)) {
      before = served.warmUp();
      try (VfioUserAccess access = VfioUserAccess.connect(path(), PATIENCE)) {
        MemorySegment small = access.memory().allocate(100, 64);
        MemorySegment large = access.memory().allocate(40 << 20, 4096);
        assertEquals(0, access.memory().deviceAddress(large) & 4095);
        assertEquals(2, access.memory().regions().size());
        small.fill((byte) 1);
        access.memory().release(small);
      }
      served.serveOneMore();
      Await.descriptors(before);
    }
  }

  @Test
  void interruptsAreAskedForWithinWhatThereIs() throws IOException {
    try (Served served = new Served(folder);
        VfioUserAccess access = VfioUserAccess.connect(path(), PATIENCE)) {
      Runnable nothing = () -> {};
      List<Runnable> tooMany = Collections.nCopies(access.msixVectors() + 1, nothing);
      assertThrows(IOException.class, () -> access.enableMsix(tooMany));
      assertThrows(IOException.class, () -> access.enableMsix(List.of()));
      access.enableMsix(tooMany.subList(1, tooMany.size()));
      access.enableIntx(nothing);
      access.enableMsix(List.of(nothing));
      access.disableInterrupts();
      access.disableInterrupts();
      served.server.stats();
    }
  }

  @Test
  void aServerThatEndsIsHeardOf() throws IOException {
    AtomicInteger ran = new AtomicInteger();
    VfioUserAccess access;
    try (Served _ = new Served(folder)) {
      access = VfioUserAccess.connect(path(), PATIENCE);
      access.enableMsix(List.of(ran::incrementAndGet));
    }
    Await.until("the handler is told", () -> ran.get() > 0);
    assertThrows(IOException.class, () -> access.config().read(0, 2));
    IOException over = assertThrows(IOException.class, () -> access.config().read(0, 2));
    assertTrue(over.getMessage().contains("is over"), over.getMessage());
    assertThrows(IOException.class, () -> access.memory().allocate(100, 64));
    access.close();
    access.close();
    assertThrows(IOException.class, () -> access.enableIntx(() -> {}));
  }

  @Test
  void nobodyIsThere() {
    assertThrows(IOException.class, () -> VfioUserAccess.connect(path(), PATIENCE));
    assertThrows(
        IllegalArgumentException.class, () -> VfioUserAccess.connect(path(), Duration.ZERO));
  }

  // --- a server that answers wrongly -------------------------------------------------------

  /** What is wrong with the answer to one of the commands. */
  enum Wrong {
    NO_ANSWER(VfioUserCommand.VERSION, reply -> null),
    OTHER_MAJOR(VfioUserCommand.VERSION, reply -> reply.putShort(16, (short) 1)),
    EMPTY_VERSION(VfioUserCommand.VERSION, reply -> cut(reply, 16)),
    SIZE_OF_HEADER_ONLY(VfioUserCommand.DEVICE_GET_INFO, reply -> cut(reply, 16)),
    SIZE_BELOW_HEADER(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(4, 15)),
    SIZE_TOO_LARGE(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(4, 1 << 20)),
    SIZE_HUGE(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(4, -1)),
    OTHER_ID(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putShort(0, (short) 77)),
    OTHER_COMMAND(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putShort(2, (short) 5)),
    UNKNOWN_COMMAND(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putShort(2, (short) 999)),
    NOT_A_REPLY(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(8, 0)),
    NO_TYPE(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(8, 9)),
    REFUSAL(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(8, 0x21).putInt(12, 22)),
    REFUSAL_ODD(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(8, 0x21).putInt(12, -5)),
    NO_PCI(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(20, 1)),
    FEW_REGIONS(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(24, 7)),
    NEGATIVE_REGIONS(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(24, -1)),
    FEW_INTERRUPTS(VfioUserCommand.DEVICE_GET_INFO, reply -> reply.putInt(28, 2)),
    NEGATIVE_SIZE(VfioUserCommand.DEVICE_GET_REGION_INFO, reply -> reply.putLong(32, -1)),
    NO_CONFIGURATION(VfioUserCommand.DEVICE_GET_REGION_INFO, reply -> reply.putLong(32, 255)),
    SHORT_INFO(VfioUserCommand.DEVICE_GET_REGION_INFO, reply -> cut(reply, 40)),
    SHORT_IRQ_INFO(VfioUserCommand.DEVICE_GET_IRQ_INFO, reply -> cut(reply, 28));

    private final VfioUserCommand command;
    private final UnaryOperator<ByteBuffer> change;

    Wrong(VfioUserCommand command, UnaryOperator<ByteBuffer> change) {
      this.command = command;
      this.change = change;
    }

    private static ByteBuffer cut(ByteBuffer reply, int size) {
      return reply.putInt(4, size).limit(size);
    }
  }

  @ParameterizedTest
  @EnumSource
  void wrongAnswersEndTheConnecting(Wrong wrong) throws IOException {
    connectToLiar(wrong);
    // The JDK has opened what it keeps by now.
    List<String> before = Await.descriptors();
    connectToLiar(wrong);
    Await.descriptors(before);
  }

  private void connectToLiar(Wrong wrong) throws IOException {
    try (LyingServer _ = new LyingServer(path(), wrong.command, wrong.change)) {
      assertThrows(IOException.class, () -> VfioUserAccess.connect(path(), SHORT));
    }
    Files.delete(path());
  }

  /** What is wrong with the answer to a read of a register. */
  enum WrongRead {
    NOTHING(reply -> null),
    SHORTER(reply -> reply.putInt(4, 33).limit(33)),
    OTHER_ID(reply -> reply.putShort(0, (short) 77)),
    A_DMA_READ(reply -> reply.putShort(2, (short) 11).putInt(8, 0));

    private final UnaryOperator<ByteBuffer> change;

    WrongRead(UnaryOperator<ByteBuffer> change) {
      this.change = change;
    }
  }

  @ParameterizedTest
  @EnumSource
  void wrongReadsEndTheConnection(WrongRead wrong) throws Exception {
    try (LyingServer _ = new LyingServer(path(), VfioUserCommand.REGION_READ, wrong.change);
        VfioUserAccess access = VfioUserAccess.connect(path(), SHORT)) {
      assertThrows(IOException.class, () -> access.config().read(0, 4));
      IOException over = assertThrows(IOException.class, () -> access.config().write(4, 2, 0));
      assertTrue(over.getMessage().contains("is over"), over.getMessage());
    }
  }

  @Test
  void aRefusedReadIsAnError() throws Exception {
    try (LyingServer _ =
            new LyingServer(
                path(),
                VfioUserCommand.REGION_READ,
                reply -> reply.putInt(4, 16).putInt(8, 0x21).putInt(12, 22).limit(16));
        VfioUserAccess access = VfioUserAccess.connect(path(), PATIENCE)) {
      VfioUserRefusal refusal =
          assertThrows(VfioUserRefusal.class, () -> access.config().read(0, 4));
      assertEquals(22, refusal.errno());
      access.config().write(4, 2, 0); // the connection goes on
    }
  }

  /** Answers everything as a server with one region of 4096 bytes each would, but one command. */
  private static final class LyingServer implements AutoCloseable {
    private final ServerSocketChannel server;
    private final Thread thread;
    private final VfioUserCommand lie;
    private final UnaryOperator<ByteBuffer> change;

    LyingServer(Path path, VfioUserCommand lie, UnaryOperator<ByteBuffer> change)
        throws IOException {
      this.lie = lie;
      this.change = change;
      server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
      server.bind(UnixDomainSocketAddress.of(path));
      thread = Thread.ofPlatform().daemon().start(this::serve);
    }

    private void serve() {
      try (SocketChannel channel = server.accept()) {
        while (true) {
          ByteBuffer head = receive(channel, 16);
          ByteBuffer payload = receive(channel, head.getInt(4) - 16);
          VfioUserCommand command = VfioUserCommand.of(head.getShort(2));
          ByteBuffer reply = reply(head, command, payload);
          ByteBuffer sent = command == lie ? change.apply(reply) : reply;
          while (sent != null && sent.hasRemaining()) {
            channel.write(sent);
          }
        }
      } catch (IOException e) {
        // The client has gone.
      }
    }

    private static ByteBuffer receive(SocketChannel channel, int size) throws IOException {
      ByteBuffer bytes = ByteBuffer.allocate(size).order(ByteOrder.nativeOrder());
      while (bytes.hasRemaining()) {
        if (channel.read(bytes) < 0) {
          throw new IOException("end");
        }
      }
      return bytes.flip();
    }

    private static ByteBuffer reply(ByteBuffer head, VfioUserCommand command, ByteBuffer payload) {
      ByteBuffer reply = ByteBuffer.allocate(256).order(ByteOrder.nativeOrder());
      reply.putShort(head.getShort(0)).putShort(head.getShort(2)).putInt(0).putInt(1).putInt(0);
      switch (command) {
        case VERSION -> reply.putInt(0).put("{}\0".getBytes());
        case DEVICE_GET_INFO -> reply.putInt(16).putInt(2).putInt(9).putInt(5);
        case DEVICE_GET_REGION_INFO ->
            reply.putInt(32).putInt(3).putInt(payload.getInt(8)).putInt(0).putLong(4096).putLong(0);
        case DEVICE_GET_IRQ_INFO -> reply.putInt(16).putInt(1).putInt(payload.getInt(8)).putInt(1);
        case REGION_READ -> reply.put(payload).put(new byte[payload.getInt(12)]);
        case REGION_WRITE -> reply.put(payload.limit(16));
        default -> {}
      }
      return reply.putInt(4, reply.position()).flip();
    }

    @Override
    public void close() throws IOException {
      server.close();
      try {
        thread.join();
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
    }
  }
}
