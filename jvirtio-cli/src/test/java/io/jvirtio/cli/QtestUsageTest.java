// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Wrong arguments about a QEMU, and what is no QEMU. */
@Timeout(60)
class QtestUsageTest {
  @TempDir private Path folder;

  private Path ram;

  @BeforeEach
  void make() throws IOException {
    ram = ServedDisk.sized(folder.resolve("ram"), 8 << 20);
  }

  @ParameterizedTest
  @CsvSource({
    "--qtest=/none, --qtest needs --memory",
    "--memory=/none, which device?",
    "--qtest=/none --memory=/none --socket-path=/none, are different places",
    "--socket-path=/none --memory=/none, --memory goes with --qtest only",
    "--socket-path=/none --legacy, --legacy goes with --qtest and --vfio-user only",
    "--socket-path=/none --irq=msix, --irq goes with --qtest and --vfio-user only",
    "--socket-path=/none --device=00:05.0, --device goes with --qtest only",
    "--qtest=/none --memory=/none --irq=apic, 'none of msix, msix-shared, intx'",
    "--qtest=/none --memory=/none --timeout=0, --timeout is 0.0 s",
  })
  void ofDisks(String options, String part) {
    for (List<String> command : List.of(List.of("bench", "blk"), List.of("copy", "file"))) {
      List<String> args = new ArrayList<>(command);
      args.addAll(List.of(options.split(" ")));
      CommandRun.of(args.toArray(String[]::new)).assertFails(2, part, "--help'");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "--qtest=/none, --qtest needs --memory",
    "--socket-path=/none --memory=/none, --memory goes with --qtest only",
    "--socket-path=/none --legacy, --legacy goes with --qtest and --vfio-user only",
    "--socket-path=/none --device=00:05.0, '''00:05.0'' is no device type'",
    "--qtest=/none --memory=/none --irq=msix, unknown option --irq",
  })
  void ofProbe(String options, String part) {
    List<String> args = new ArrayList<>(List.of("probe"));
    args.addAll(List.of(options.split(" ")));
    CommandRun.of(args.toArray(String[]::new)).assertFails(2, part, "see 'jvirtio probe --help'");
  }

  private static CommandRun probe(Path socket, Path memory) {
    return CommandRun.of("probe", "--qtest=" + socket, "--memory=" + memory, "--timeout=0.3");
  }

  @Test
  void theFileOfTheMemory() throws IOException {
    Path socket = folder.resolve("s");
    probe(socket, folder.resolve("none")).assertFails(1, "there is no file", "mem-path");
    probe(socket, folder).assertFails(1, "is no regular file", "mem-path");
  }

  @Test
  void theSocket() throws IOException {
    Path socket = folder.resolve("s");
    probe(socket, ram).assertFails(1, "there is no socket " + socket, "QEMU 10 or newer");
    probe(ram, ram).assertFails(1, "is not a socket", "-qtest");
    probe(Path.of("/" + "x".repeat(200)), ram).assertFails(1, "too long");
    assertTrue(Files.exists(ram));
  }

  @ParameterizedTest
  @CsvSource({
    "'', does not answer",
    "'{\"QMP\": {}}', 'the answer to endianness is \"{\"QMP\"'",
    "OK big, byte order is big",
    "FAIL what, what",
  })
  void whatListensIsNoQtest(String says, String part) throws Exception {
    Path socket = folder.resolve("s");
    try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      server.bind(UnixDomainSocketAddress.of(socket));
      Thread talker = Thread.ofPlatform().daemon().start(() -> talk(server, says));
      probe(socket, ram).assertFails(1, part, "names the socket of QEMU's -qtest");
      talker.join();
    }
  }

  /** Answers the first request, with nothing if there is nothing to say, and waits for the end. */
  private static void talk(ServerSocketChannel server, String says) {
    try (SocketChannel channel = server.accept()) {
      ByteBuffer buffer = ByteBuffer.allocate(100);
      channel.read(buffer);
      if (!says.isEmpty()) {
        channel.write(ByteBuffer.wrap((says + "\n").getBytes(StandardCharsets.US_ASCII)));
      }
      while (channel.read(buffer.clear()) >= 0) {
        // Until the client has gone.
      }
    } catch (IOException e) {
      // So has it.
    }
  }

  @Test
  void helpTeaches() {
    CommandRun.of("probe", "--help")
        .assertOk()
        .assertPrints("-accel qtest -qtest unix:", "memory-backend-file", "--device=00:05.0");
    CommandRun.of("copy", "--help").assertOk().assertPrints("jvirtio copy --qtest=", "--irq");
    CommandRun.of("bench", "blk", "--help").assertOk().assertPrints("--qtest=/tmp/q.sock");
  }
}
