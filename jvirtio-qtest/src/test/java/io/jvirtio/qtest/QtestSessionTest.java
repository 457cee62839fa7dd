// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(120)
class QtestSessionTest {
  @TempDir Path folder;

  @Test
  void requestsAreLinesAndAnswersNumbers() throws IOException {
    Queue<String> seen = new ConcurrentLinkedQueue<>();
    FakeQemu.Script script =
        line -> {
          seen.add(line);
          return switch (line) {
            case "inw 0xcfe" -> "OK 0xbeef\r\n";
            case "readq 0xe0000000" -> "OK 0xfedcba9876543210\n";
            case "endianness" -> null;
            default -> "OK\n";
          };
        };
    try (FakeQemu qemu = new FakeQemu(folder, script);
        QtestSession session = qemu.connect()) {
      assertEquals(0xbeef, session.in(0xcfe, 2));
      assertEquals(0xfedcba9876543210L, session.read(0xe000_0000L, 8));
      session.out(0xcf8, 4, 0x8000_0010L);
      session.write(-16, 8, -1);
      session.write(0x10, 1, 0x1ff);
      session.interceptInterrupts("ioapic");
    }
    assertEquals(
        List.of(
            "endianness",
            "inw 0xcfe",
            "readq 0xe0000000",
            "outl 0xcf8 0x80000010",
            "writeq 0xfffffffffffffff0 0xffffffffffffffff",
            "writeb 0x10 0xff",
            "irq_intercept_in ioapic"),
        List.copyOf(seen));
  }

  @Test
  void aRefusalDoesNotEndTheSession() throws IOException {
    try (FakeQemu qemu =
            new FakeQemu(folder, line -> line.startsWith("irq") ? "FAIL Unknown\n" : null);
        QtestSession session = qemu.connect()) {
      QtestException e =
          assertThrows(QtestException.class, () -> session.interceptInterrupts("nothing"));
      assertTrue(e.getMessage().contains("FAIL Unknown"), e.getMessage());
      assertEquals("little", session.request("endianness"));
      assertTrue(session.isAlive());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "OK\n",
        "OK 12\n",
        "OK 0x\n",
        "OK 0xg\n",
        "OK 0x100\n",
        "OK 0x00000000000000001\n",
        "OK -1\n",
        "OKAY\n",
        "\n",
        "what?\n",
        "IRQ raise 256\n",
        "IRQ raise -1\n",
        "IRQ lift 3\n",
        "IRQ raise 99999999999\n",
        "\u0000\u00ff\u0007\n",
      })
  void anAnswerWithoutSenseEndsIt(String answer) throws IOException {
    try (FakeQemu qemu = new FakeQemu(folder, line -> line.startsWith("inb") ? answer : null);
        QtestSession session = qemu.connect()) {
      assertThrows(IOException.class, () -> session.in(0x70, 1));
      assertFalse(session.isAlive());
      IOException next = assertThrows(IOException.class, () -> session.request("endianness"));
      assertTrue(next.getMessage().contains("is over"), next.getMessage());
    }
  }

  @Test
  void aLineHasABound() throws IOException {
    try (FakeQemu qemu =
            new FakeQemu(folder, line -> line.startsWith("in") ? "x".repeat(100_000) : null);
        QtestSession session = qemu.connect()) {
      IOException e = assertThrows(IOException.class, () -> session.in(0x70, 1));
      assertTrue(e.getMessage().contains("more than 4096"), e.getMessage());
      assertTrue(e.getMessage().length() < 1000, e.getMessage());
    }
  }

  @Test
  void silenceEndsIt() throws IOException {
    try (FakeQemu qemu = new FakeQemu(folder, line -> null)) {
      try (QtestSession session = QtestSession.connect(qemu.path(), Duration.ofMillis(500))) {
        IOException e = assertThrows(IOException.class, () -> session.in(0x70, 1));
        assertInstanceOf(SocketTimeoutException.class, e);
        // The late answer must not pass for the next one's.
        qemu.send("OK 0x12\n");
        assertThrows(IOException.class, () -> session.in(0x71, 1));
      }
    }
  }

  @Test
  void interruptsForeverAreNoAnswer() throws IOException {
    String babble = "IRQ raise 1\nIRQ lower 1\n".repeat(1000);
    try (FakeQemu qemu = new FakeQemu(folder, line -> line.startsWith("in") ? babble : null);
        QtestSession session = QtestSession.connect(qemu.path(), Duration.ofSeconds(1))) {
      assertThrows(SocketTimeoutException.class, () -> session.in(0x70, 1));
    }
  }

  @Test
  void aServerThatNeverAnswersIsFoundOut() throws IOException {
    // As QEMU with another client: the connection is made, and nobody reads from it.
    try (FakeQemu qemu = new FakeQemu(folder, line -> "")) {
      IOException e =
          assertThrows(
              IOException.class,
              () -> QtestSession.connect(qemu.path(), Duration.ofMillis(200)).close());
      assertTrue(e.getMessage().contains("one client at a time"), e.getMessage());
    }
  }

  @Test
  void aBigEndianMachineIsRefused() throws IOException {
    try (FakeQemu qemu = new FakeQemu(folder, line -> "OK big\n")) {
      IOException e = assertThrows(IOException.class, qemu::connect);
      assertTrue(e.getMessage().contains("big"), e.getMessage());
    }
  }

  @Test
  void nobodyListens() {
    assertThrows(
        IOException.class,
        () -> QtestSession.connect(folder.resolve("none"), FakeQemu.DEADLINE).close());
  }

  @Test
  void aLineThatAnswersNothingEndsIt() throws Exception {
    try (FakeQemu qemu = new FakeQemu(folder, line -> null);
        QtestSession session = qemu.connect()) {
      BlockingQueue<String> told = new LinkedBlockingQueue<>();
      session.setListener(new Told(told));
      qemu.send("OK 0x1\n");
      assertEquals("end", told.poll(30, TimeUnit.SECONDS));
      assertThrows(IOException.class, () -> session.in(0x70, 1));
    }
  }

  @Test
  void aServerThatHangsUpEndsIt() throws Exception {
    try (FakeQemu qemu = new FakeQemu(folder, line -> null);
        QtestSession session = qemu.connect()) {
      BlockingQueue<String> told = new LinkedBlockingQueue<>();
      session.setListener(new Told(told));
      qemu.hangUp();
      assertEquals("end", told.poll(30, TimeUnit.SECONDS));
      assertThrows(IOException.class, () -> session.in(0x70, 1));
    }
  }

  private record Told(BlockingQueue<String> to) implements QtestSession.Listener {
    @Override
    public void lineChanged(int line, boolean raised) {
      to.add((raised ? "+" : "-") + line);
    }

    @Override
    public void ended() {
      to.add("end");
    }
  }

  @Test
  void interruptLinesComeBetweenAnswers() throws Exception {
    FakeQemu.Script script =
        line ->
            line.startsWith("in") ? "IRQ raise 11\nIRQ lower 11\nOK 0x7\nIRQ raise 255\n" : null;
    try (FakeQemu qemu = new FakeQemu(folder, script);
        QtestSession session = qemu.connect()) {
      BlockingQueue<String> told = new LinkedBlockingQueue<>();
      session.setListener(new Told(told));
      assertEquals(7, session.in(0x70, 1));
      for (String expected : List.of("+11", "-11", "+255")) {
        assertEquals(expected, told.poll(30, TimeUnit.SECONDS));
      }
    }
  }

  @Test
  void answersMayComeInPieces() throws Exception {
    CompletableFuture<FakeQemu> server = new CompletableFuture<>();
    FakeQemu.Script script =
        line -> {
          if (!line.startsWith("in")) {
            return null;
          }
          // The pauses only make it likely that they are received one by one.
          for (String piece : List.of("IRQ ra", "ise 3\nO", "K 0x", "4")) {
            server.join().send(piece);
            LockSupport.parkNanos(5_000_000);
          }
          return "2\n";
        };
    try (FakeQemu qemu = new FakeQemu(folder, script);
        QtestSession session = qemu.connect()) {
      server.complete(qemu);
      assertEquals(0x42, session.in(0x70, 1));
    }
  }

  @Test
  void whatWouldBeTwoRequestsIsRefused() throws IOException {
    try (FakeQemu qemu = new FakeQemu(folder, line -> null);
        QtestSession session = qemu.connect()) {
      for (String line : List.of("inb 1\ninb 2", "", " ", "caf\u00e9", "x".repeat(513))) {
        assertThrows(IllegalArgumentException.class, () -> session.request(line));
      }
      assertThrows(IllegalArgumentException.class, () -> session.in(0xffff, 2));
      assertThrows(IllegalArgumentException.class, () -> session.in(-1, 1));
      assertThrows(IllegalArgumentException.class, () -> session.in(0, 8));
      assertThrows(IllegalArgumentException.class, () -> session.read(0, 3));
      assertTrue(session.isAlive());
    }
  }

  @Test
  void anInterruptedThreadStillGetsItsAnswer() throws IOException {
    try (FakeQemu qemu = new FakeQemu(folder, line -> line.startsWith("in") ? "OK 0x5\n" : null);
        QtestSession session = qemu.connect()) {
      Thread.currentThread().interrupt();
      assertEquals(5, session.in(0x70, 1));
      assertTrue(Thread.interrupted());
    }
  }

  @Test
  void everyThreadGetsItsOwnAnswer() throws Exception {
    FakeQemu.Script script =
        line -> line.startsWith("inl 0x") ? "OK 0x" + line.substring(6) + "\n" : null;
    try (FakeQemu qemu = new FakeQemu(folder, script);
        QtestSession session = qemu.connect()) {
      Queue<Object> wrong = new ConcurrentLinkedQueue<>();
      List<Thread> threads = new ArrayList<>();
      for (int t = 0; t < 4; t++) {
        int port = t * 0x1000;
        threads.add(
            Thread.ofPlatform()
                .start(
                    () -> {
                      try {
                        for (int i = 0; i < 200; i++) {
                          if (session.in(port + i, 4) != port + i) {
                            wrong.add(port + i);
                          }
                        }
                      } catch (IOException e) {
                        wrong.add(e);
                      }
                    }));
      }
      for (Thread thread : threads) {
        thread.join();
      }
      assertEquals(List.of(), List.copyOf(wrong));
    }
  }

  @Test
  void closingEndsARequestUnderWay() throws Exception {
    try (FakeQemu qemu = new FakeQemu(folder, line -> null)) {
      QtestSession session = qemu.connect();
      Queue<Exception> seen = new ConcurrentLinkedQueue<>();
      Thread asker =
          Thread.ofPlatform()
              .start(
                  () -> {
                    try {
                      session.in(0x70, 1);
                    } catch (IOException e) {
                      seen.add(e);
                    }
                  });
      while (asker.getState() != Thread.State.TIMED_WAITING) {
        Thread.sleep(1);
      }
      session.close();
      session.close();
      asker.join();
      assertEquals(1, seen.size());
      assertThrows(IOException.class, () -> session.in(0x70, 1));
    }
  }
}
