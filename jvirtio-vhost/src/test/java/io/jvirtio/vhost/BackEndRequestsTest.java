// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.EventFd;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What a back-end says on its own channel, right or wrong. */
class BackEndRequestsTest extends WithScriptedBackEnd {
  private String lost() throws Exception {
    Await.until("lost", driving.lost::isDone);
    String reason = driving.lost.get().getMessage();
    assertEquals(
        reason, assertThrows(IOException.class, () -> driving.transport.status()).getMessage());
    return reason;
  }

  private byte[] request(int id, int flags, int size) {
    return FrontEnd.bytes(12 + size, out -> out.put(FrontEnd.header(id, flags, size)));
  }

  @Test
  void requestsOfTheBackEnd() throws Exception {
    backEnd.start();
    connect(options());
    driving.start(1);
    try (FrontEnd reader = new FrontEnd(backEnd.channel, RingFormat.SPLIT)) {
      ScriptedBackEnd.send(backEnd.channel, request(2, 1, 0));
      ScriptedBackEnd.send(backEnd.channel, request(2, 9, 0));
      assertEquals(0, reader.receive(backEnd.channel, 2, 5).payload().getLong());
      Await.until("both told", () -> driving.transport.configGeneration() == 2);
      // Unknown ones, with whatever they carry.
      try (EventFd event = EventFd.create()) {
        int fd = event.fd().value();
        ScriptedBackEnd.send(backEnd.channel, request(6, 9, 100), fd, fd);
        assertEquals(1, reader.receive(backEnd.channel, 6, 5).payload().getLong());
        ScriptedBackEnd.send(backEnd.channel, request(-1, 1, 0), fd);
      }
      ScriptedBackEnd.send(backEnd.channel, request(2, 9, 0));
      assertEquals(0, reader.receive(backEnd.channel, 2, 5).payload().getLong());
    }
    // That closed the channel, which by itself means nothing.
    assertEquals(15, driving.transport.status());
    assertFalse(driving.lost.isDone());
  }

  @Test
  void manyRequestsOfTheBackEndAtOnce() throws Exception {
    backEnd.start();
    connect(options());
    driving.start(1);
    for (int i = 0; i < 2000; i++) {
      ScriptedBackEnd.send(backEnd.channel, request(2, 1, 0));
    }
    Await.until("all told", () -> driving.transport.configGeneration() == 2000);
    assertTrue(driving.changes.get() > 0);
  }

  static List<Arguments> garbage() {
    return List.of(
        Arguments.of(FrontEnd.header(2, 0, 0), false, "version 0"),
        Arguments.of(FrontEnd.header(2, 5, 0), false, "marked as a reply"),
        Arguments.of(FrontEnd.header(2, 1, 5000), false, "claims 5000 bytes"),
        Arguments.of(FrontEnd.header(2, 1, -1), false, "claims 4294967295 bytes"),
        Arguments.of(FrontEnd.header(2, 1, 8), false, "payload of 8 bytes"),
        Arguments.of(FrontEnd.header(2, 1, 0), true, "1 descriptors"),
        Arguments.of("Hello, World".getBytes(), false, "request 1819043144"));
  }

  @ParameterizedTest
  @MethodSource
  void garbage(byte[] bytes, boolean descriptor, String text) throws Exception {
    backEnd.start();
    connect(options());
    driving.start(1);
    assertNotNull(backEnd.channel);
    try (EventFd event = EventFd.create()) {
      ScriptedBackEnd.send(
          backEnd.channel, bytes, descriptor ? new int[] {event.fd().value()} : new int[0]);
    }
    String reason = lost();
    assertTrue(reason.startsWith("channel of the back-end: "), reason);
    assertTrue(reason.contains(text), reason);
  }

  @Test
  void aRequestOfTheBackEndThatNeverEnds() throws Exception {
    backEnd.start();
    connect(options().withReplyDeadline(Duration.ofSeconds(2)));
    driving.start(1);
    ScriptedBackEnd.send(backEnd.channel, new byte[] {2, 0});
    String reason = lost();
    assertTrue(reason.startsWith("channel of the back-end: "), reason);
  }
}
