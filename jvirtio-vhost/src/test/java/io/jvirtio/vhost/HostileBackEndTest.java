// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.NegotiationException;
import io.jvirtio.linux.EventFd;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A back-end that does not behave: a clear error in time, and no descriptor stays open. */
class HostileBackEndTest extends WithScriptedBackEnd {
  /** What can be wrong with an answer. */
  enum Wrong {
    NEVER((backEnd, proper) -> true, "does not answer"),
    HANG_UP((backEnd, proper) -> false, "closed the connection"),
    IN_ITS_MIDDLE(
        (backEnd, proper) -> {
          backEnd.send(Arrays.copyOf(proper, 13));
          return false;
        },
        "closed the connection"),
    TOO_LONG(patch(8, 24), "24 bytes"),
    HUGE(patch(8, -1), "4294967295 bytes"),
    ANOTHER_REQUEST(patch(0, 2000), "message 2000"),
    ANOTHER_VERSION(patch(4, 6), "version 2"),
    NOT_A_REPLY(patch(4, 1), "not marked as a reply"),
    WITH_DESCRIPTORS(
        (backEnd, proper) -> {
          try (EventFd event = EventFd.create()) {
            int fd = event.fd().value();
            backEnd.send(proper, fd, fd, fd);
          }
          return true;
        },
        "3 descriptors");

    final ScriptedBackEnd.Answer answer;
    final String text;

    Wrong(ScriptedBackEnd.Answer answer, String text) {
      this.answer = answer;
      this.text = text;
    }

    private static ScriptedBackEnd.Answer patch(int offset, int value) {
      return (backEnd, proper) -> {
        ByteBuffer.wrap(proper).order(ByteOrder.nativeOrder()).putInt(offset, value);
        backEnd.send(proper);
        return true;
      };
    }
  }

  /** Every message that a whole life has when all protocol features are there. */
  private static final Set<VhostUserRequest> ANSWERED =
      EnumSet.complementOf(
          EnumSet.of(
              VhostUserRequest.RESET_OWNER,
              VhostUserRequest.SET_PROTOCOL_FEATURES,
              VhostUserRequest.SET_MEM_TABLE,
              VhostUserRequest.REM_MEM_REG));

  /** For some of them the whole deadline is waited for. */
  private static final Set<VhostUserRequest> AWAITED =
      EnumSet.of(
          VhostUserRequest.GET_FEATURES,
          VhostUserRequest.SET_OWNER,
          VhostUserRequest.ADD_MEM_REG,
          VhostUserRequest.GET_CONFIG,
          VhostUserRequest.GET_VRING_BASE);

  // Long enough for what is answered, also on a busy machine.
  private static final Duration SHORT = Duration.ofSeconds(2);

  /** A whole life: every message at least once. */
  private void live(VhostUserFrontEndOptions options) throws IOException {
    connect(options);
    driving.start(2);
    driving.transport.readConfig(0, new byte[4]);
    driving.transport.writeConfig(0, new byte[4]);
    driving.transport.resetQueue(0);
    driving.transport.enableQueue(0, 8);
    driving.transport.reset();
  }

  static List<Arguments> everyAnswer() {
    List<Arguments> all = new ArrayList<>();
    for (VhostUserRequest request : ANSWERED) {
      for (Wrong wrong : Wrong.values()) {
        if (wrong != Wrong.NEVER || AWAITED.contains(request)) {
          all.add(Arguments.of(request, wrong));
        }
      }
    }
    return all;
  }

  @ParameterizedTest
  @MethodSource("everyAnswer")
  void anyAnswerCanBeWrong(VhostUserRequest request, Wrong wrong) {
    backEnd.on(request, wrong.answer).start();
    Duration deadline = wrong == Wrong.NEVER ? SHORT : options().replyDeadline();
    IOException failure =
        assertThrows(IOException.class, () -> live(options().withReplyDeadline(deadline)));
    assertTrue(failure.getMessage().contains(wrong.text), failure.getMessage());
    assertTrue(failure.getMessage().contains(request.name()), failure.getMessage());
    if (driving != null) {
      IOException later = assertThrows(IOException.class, () -> driving.transport.status());
      assertEquals(failure.getMessage(), later.getMessage());
    }
  }

  @ParameterizedTest
  @EnumSource(VhostUserRequest.class)
  void anyRequestCanBeRefused(VhostUserRequest request) throws IOException {
    backEnd.on(
        request,
        (self, proper) -> {
          self.send(request.isAnswered() ? proper : ScriptedBackEnd.message(request, u64()));
          return true;
        });
    boolean refusable =
        ANSWERED.contains(request)
            && !request.isAnswered()
            && request != VhostUserRequest.SET_FEATURES;
    if (request == VhostUserRequest.SET_PROTOCOL_FEATURES) {
      backEnd.on(request, (self, proper) -> true);
    }
    backEnd.start();
    if (!refusable) {
      // It has no answer that could refuse it, or the driver is told by FEATURES_OK.
      if (request == VhostUserRequest.SET_FEATURES) {
        connect(options());
        assertEquals(3, driving.negotiate(Driving.FEATURES));
      } else {
        live(options());
      }
      return;
    }
    IOException failure = assertThrows(IOException.class, () -> live(options()));
    assertEquals("back-end refused " + request + " (7)", failure.getMessage());
    if (driving != null) {
      // A refusal ends nothing.
      assertTrue(driving.transport.status() >= 0);
    }
  }

  private static byte[] u64() {
    return FrontEnd.u64(7);
  }

  @Test
  void aWholeLifeWithOneThatBehaves() throws IOException {
    backEnd.start();
    live(options());
    for (VhostUserRequest request : ANSWERED) {
      assertTrue(backEnd.seen.contains(request), request + " was never sent");
    }
  }

  @Test
  void aBackEndWithoutProtocolFeatures() throws IOException {
    backEnd.features = Driving.FEATURES.low();
    backEnd.start();
    connect(options());
    driving.start(2);
    driving.transport.reset();
    assertEquals(0, driving.transport.offeredProtocolFeatures());
    assertEquals(8, driving.transport.memorySlots());
    assertFalse(backEnd.seen.contains(VhostUserRequest.SET_VRING_ENABLE));
    assertFalse(backEnd.seen.contains(VhostUserRequest.GET_PROTOCOL_FEATURES));
    assertTrue(backEnd.seen.contains(VhostUserRequest.SET_MEM_TABLE));
    assertTrue(backEnd.seen.contains(VhostUserRequest.GET_VRING_BASE));
  }

  @Test
  void noVersion1() throws IOException {
    backEnd.features = FrontEnd.PROTOCOL_BIT;
    backEnd.start();
    connect(options());
    NegotiationException failure =
        assertThrows(NegotiationException.class, () -> driving.negotiate(FeatureBits.NONE));
    assertEquals("back-end does not offer VIRTIO_F_VERSION_1", failure.getMessage());
  }

  @Test
  void numbersOutOfRange() throws IOException {
    backEnd.queueNum = 0;
    backEnd.start();
    IOException queues = assertThrows(IOException.class, () -> connect(options()));
    assertEquals("back-end has no queues (GET_QUEUE_NUM)", queues.getMessage());
    backEnd.queueNum = -1;
    backEnd.slots = 0;
    IOException slots = assertThrows(IOException.class, () -> connect(options()));
    assertEquals("back-end takes no memory (GET_MAX_MEM_SLOTS)", slots.getMessage());
    backEnd.slots = Long.MIN_VALUE;
    connect(options());
    assertEquals(256, driving.transport.queueCount());
    assertEquals(VhostMemory.MAX_SLOTS, driving.transport.memorySlots());
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 12})
  void configurationThatCannotBeRead(int size) throws IOException {
    backEnd
        .on(
            VhostUserRequest.GET_CONFIG,
            (self, proper) -> {
              byte[] none = FrontEnd.config(0, 0, 0, new byte[0]);
              self.send(
                  ScriptedBackEnd.message(VhostUserRequest.GET_CONFIG, Arrays.copyOf(none, size)));
              return true;
            })
        .start();
    connect(options());
    IOException failure =
        assertThrows(IOException.class, () -> driving.transport.readConfig(2, new byte[4]));
    assertEquals("back-end refused GET_CONFIG of 6 bytes at 0", failure.getMessage());
    assertEquals(0, driving.transport.status());
  }

  @Test
  void configurationOfSomethingElse() throws IOException {
    byte[] other = FrontEnd.config(1, 4, 0, new byte[4]);
    backEnd
        .on(
            VhostUserRequest.GET_CONFIG,
            (self, proper) -> {
              self.send(ScriptedBackEnd.message(VhostUserRequest.GET_CONFIG, other));
              return true;
            })
        .start();
    connect(options());
    IOException failure =
        assertThrows(IOException.class, () -> driving.transport.readConfig(0, new byte[4]));
    assertEquals("reply to GET_CONFIG of 4 bytes at 0 is of 4 bytes at 1", failure.getMessage());
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1})
  void aVringBaseThatIsNone(int index) throws IOException {
    backEnd
        .on(
            VhostUserRequest.GET_VRING_BASE,
            (self, proper) -> {
              byte[] state = FrontEnd.state(index, 0x10000);
              self.send(ScriptedBackEnd.message(VhostUserRequest.GET_VRING_BASE, state));
              return true;
            })
        .start();
    IOException failure = assertThrows(IOException.class, () -> live(options()));
    String expected =
        index == 0
            ? "reply to GET_VRING_BASE is 0x10000"
            : "reply to GET_VRING_BASE of vring 0 is for vring 1";
    assertEquals(expected, failure.getMessage());
  }

  @Test
  void aStatusThatIsNone() throws IOException {
    backEnd
        .on(
            VhostUserRequest.GET_STATUS,
            (self, proper) -> {
              self.send(ScriptedBackEnd.message(VhostUserRequest.GET_STATUS, FrontEnd.u64(256)));
              return true;
            })
        .start();
    IOException failure = assertThrows(IOException.class, () -> live(options()));
    assertEquals("reply to GET_STATUS is 0x100", failure.getMessage());
  }

  @Test
  void aDeviceThatIsNeverReset() throws IOException {
    backEnd
        .on(
            VhostUserRequest.GET_STATUS,
            (self, proper) -> {
              self.send(ScriptedBackEnd.message(VhostUserRequest.GET_STATUS, FrontEnd.u64(4)));
              return true;
            })
        .start();
    IOException failure =
        assertThrows(IOException.class, () -> live(options().withReplyDeadline(SHORT)));
    assertEquals("back-end does not reset its device for 2 s", failure.getMessage());
  }

  @Test
  void whatNobodyAskedForEndsTheConnection() throws Exception {
    backEnd.start();
    connect(options());
    driving.start(2);
    backEnd.send(ScriptedBackEnd.message(VhostUserRequest.GET_FEATURES, FrontEnd.u64(1)));
    assertEquals("back-end sent what nobody asked for", lost());
  }

  private String lost() throws Exception {
    Await.until("lost", driving.lost::isDone);
    String reason = driving.lost.get().getMessage();
    assertEquals(
        reason, assertThrows(IOException.class, () -> driving.transport.status()).getMessage());
    return reason;
  }

  @Test
  void requestsInFlightFailWhenItHangsUp() throws Exception {
    backEnd.start();
    connect(options());
    driving.start(2);
    Driving.Message first = driving.submit(0, "one");
    Driving.Message second = driving.submit(1, "two");
    backEnd.stop();
    assertEquals("back-end closed the connection", lost());
    for (Driving.Message message : List.of(first, second)) {
      ExecutionException failed = assertThrows(ExecutionException.class, message::await);
      assertEquals(FaultReason.DEVICE_GONE, ((PeerFault) failed.getCause()).reason());
    }
    assertThrows(IOException.class, () -> driving.transport.memory().allocate(1L << 30, 64));
  }

  @Test
  void anErrorDescriptorBreaksItsQueue() throws Exception {
    backEnd.start();
    connect(options());
    driving.start(2);
    Driving.Message message = driving.submit(1, "lost");
    backEnd.errors.get(1).signal();
    ExecutionException failed = assertThrows(ExecutionException.class, message::await);
    assertEquals(FaultReason.DEVICE_NEEDS_RESET, ((PeerFault) failed.getCause()).reason());
    Await.until("told", () -> driving.broken.equals(List.of("1 DEVICE_NEEDS_RESET")));
    assertFalse(driving.queues.getFirst().isBroken());
  }

  @Test
  void closeEndsACallThatWaits() throws Exception {
    backEnd.on(VhostUserRequest.GET_CONFIG, (self, proper) -> true).start();
    connect(options().withReplyDeadline(SHORT));
    CompletableFuture<IOException> waits =
        CompletableFuture.supplyAsync(
            () ->
                assertThrows(
                    IOException.class, () -> driving.transport.readConfig(0, new byte[1])));
    Await.until("it waits", () -> backEnd.seen.contains(VhostUserRequest.GET_CONFIG));
    driving.transport.close();
    String reason = waits.get(20, TimeUnit.SECONDS).getMessage();
    assertTrue(reason.contains("GET_CONFIG"), reason);
  }

  @Test
  void aBackEndThatLeavesNoMemoryBehind() throws Exception {
    backEnd.protocolFeatures =
        ScriptedBackEnd.EVERYTHING & ~ProtocolFeatures.mask(ProtocolFeatures.CONFIGURE_MEM_SLOTS);
    int[] tables = new int[1];
    backEnd
        .on(
            VhostUserRequest.SET_MEM_TABLE,
            (self, proper) -> {
              // The second one is refused.
              self.send(
                  tables[0]++ == 0
                      ? proper
                      : ScriptedBackEnd.message(VhostUserRequest.SET_MEM_TABLE, u64()));
              return true;
            })
        .start();
    connect(options().withMemory(1 << 20, 1 << 20));
    driving.start(1);
    IOException failure =
        assertThrows(IOException.class, () -> driving.transport.memory().allocate(16 << 20, 64));
    assertEquals("back-end refused SET_MEM_TABLE (7)", failure.getMessage());
    // Its rings stand still, and which memory it has is anybody's guess.
    assertEquals("back-end refused SET_MEM_TABLE (7)", lost());
  }

  @Test
  void aBackEndThatTakesFewRegions() throws Exception {
    backEnd.slots = 2;
    backEnd.start();
    connect(options().withMemory(1 << 20, 1 << 20));
    driving.start(1);
    driving.transport.memory().allocate(2 << 20, 64);
    IOException failure =
        assertThrows(IOException.class, () -> driving.transport.memory().allocate(8 << 20, 64));
    assertEquals("back-end takes no more than 2 memory regions", failure.getMessage());
    assertEquals(15, driving.transport.status());
  }

  @Test
  void closeEndsAReconnectThatWaits() throws Exception {
    backEnd
        .on(
            VhostUserRequest.GET_FEATURES,
            (self, proper) -> {
              if (self.seen.size() == 1) {
                self.send(proper);
              }
              return true;
            })
        .start();
    connect(options().withReplyDeadline(SHORT));
    CompletableFuture<IOException> waits =
        CompletableFuture.supplyAsync(
            () ->
                assertThrows(
                    IOException.class, () -> driving.transport.reconnect(Duration.ofMinutes(10))));
    // The first connection ended with its last message; this one's first is not answered.
    Await.until("it waits", () -> backEnd.seen.getLast() == VhostUserRequest.GET_FEATURES);
    driving.transport.close();
    assertEquals("transport is closed", waits.get(20, TimeUnit.SECONDS).getMessage());
  }
}
