// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.UnixSocket;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The device configuration space, and the channel that tells of its changes. */
class ConfigTest {
  private static final int CONFIG_CHANGE_MSG = 2;

  @TempDir Path directory;
  private BackEnd backEnd;
  private List<String> before;
  private FrontEnd frontEnd;

  @BeforeEach
  void connect() throws IOException {
    backEnd = new BackEnd(directory);
    before = backEnd.warmUp();
    frontEnd = backEnd.connect();
    frontEnd.negotiate();
  }

  @AfterEach
  void nothingIsLeft() throws IOException {
    frontEnd.close();
    try {
      Await.descriptors(before);
      backEnd.serveOneMore();
    } finally {
      backEnd.close();
    }
  }

  private byte[] read(int offset, int size) throws IOException {
    frontEnd.send(VhostUserRequest.GET_CONFIG, FrontEnd.config(offset, size, 0, new byte[size]));
    ByteBuffer payload = frontEnd.receive(VhostUserRequest.GET_CONFIG).payload();
    assertEquals(offset, payload.getInt());
    assertEquals(size, payload.getInt());
    assertEquals(0, payload.getInt());
    assertEquals(size, payload.remaining());
    byte[] bytes = new byte[size];
    payload.get(bytes);
    return bytes;
  }

  private long write(int offset, int flags, int... values) throws IOException {
    byte[] bytes = new byte[values.length];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) values[i];
    }
    return frontEnd.acknowledged(
        VhostUserRequest.SET_CONFIG, FrontEnd.config(offset, bytes.length, flags, bytes));
  }

  private UnixSocket channel() throws IOException {
    UnixSocket[] pair = UnixSocket.pair(null);
    frontEnd.own(pair[0]);
    try (UnixSocket theirs = pair[1]) {
      assertEquals(
          0,
          frontEnd.acknowledged(
              VhostUserRequest.SET_BACKEND_REQ_FD, new byte[0], theirs.fd().value()));
    }
    pair[0].setReceiveTimeout(Duration.ofSeconds(20));
    return pair[0];
  }

  private void live() throws IOException {
    frontEnd.driverOk();
  }

  private void change(long capacity) {
    backEnd.device.config().change(() -> backEnd.device.config().set("capacity", capacity));
  }

  @Test
  void anyPartCanBeRead() throws IOException {
    byte[] all = read(0, 10);
    assertArrayEquals(
        new byte[] {(byte) 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 1, 0}, all);
    assertArrayEquals(new byte[] {0x66, 0x55, 0x44}, read(2, 3));
    // Behind its end there are zeroes, up to the most that can be asked for.
    byte[] most = read(0, 256);
    assertEquals(1, most[8]);
    assertArrayEquals(new byte[246], java.util.Arrays.copyOfRange(most, 10, 256));
  }

  @Test
  void aWritableFieldCanBeWritten() throws IOException {
    assertEquals(0, write(8, 0, 0));
    assertArrayEquals(new byte[] {0}, read(8, 1));
    frontEnd.send(VhostUserRequest.SET_CONFIG, FrontEnd.config(8, 1, 0, new byte[] {1}));
    assertArrayEquals(new byte[] {1}, read(8, 1));
  }

  @Test
  void everythingElseIsRefusedAndTheConnectionGoesOn() throws IOException {
    byte[] all = read(0, 10);
    assertNotEquals(0, write(9, 0, 7));
    assertNotEquals(0, write(0, 0, 1, 2, 3, 4, 5, 6, 7, 8));
    assertNotEquals(0, write(8, 0, 0, 0));
    assertNotEquals(0, write(200, 0, 1));
    // Without REPLY_ACK asked for, too.
    frontEnd.send(VhostUserRequest.SET_CONFIG, FrontEnd.config(9, 1, 0, new byte[] {1}));
    assertArrayEquals(all, read(0, 10));
  }

  @Test
  void whatAMigrationRestoresIsLeftAsItIs() throws IOException {
    byte[] all = read(0, 10);
    assertEquals(0, write(0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9));
    assertArrayEquals(all, read(0, 10));
  }

  @Test
  void aChangeIsToldOnTheChannel() throws IOException {
    UnixSocket channel = channel();
    live();
    change(77);
    assertEquals(0, frontEnd.receive(channel, CONFIG_CHANGE_MSG, 1).payload().capacity());
    assertEquals(77, read(0, 8)[0]);
  }

  @Test
  void aNewChannelReplacesTheOld() throws IOException {
    UnixSocket old = channel();
    UnixSocket current = channel();
    live();
    change(5);
    frontEnd.receive(current, CONFIG_CHANGE_MSG, 1);
    assertTrue(old.awaitReadable(20_000));
  }

  @Test
  void aFrontEndThatDoesNotReadHoldsNobodyUp() throws IOException {
    UnixSocket channel = channel();
    live();
    // Many more than a socket's buffer takes: those that find no room are given up.
    for (int i = 0; i < 600; i++) {
      change(i);
    }
    frontEnd.receive(channel, CONFIG_CHANGE_MSG, 1);
    assertArrayEquals(new byte[] {600 - 512 - 1, 2}, read(0, 2));
  }

  @Test
  void aFrontEndThatClosesTheChannelHoldsNobodyUp() throws IOException {
    channel().close();
    live();
    change(3);
    change(4);
    assertEquals(4, read(0, 1)[0]);
  }

  @Test
  void aChannelThatIsNoSocketEndsTheConnection() throws IOException {
    frontEnd.makeMemory();
    frontEnd.send(VhostUserRequest.SET_BACKEND_REQ_FD, new byte[0], frontEnd.memfd.value());
    frontEnd.expectEnd();
  }

  @Test
  void aBrokenRingIsAChangeAsWell() throws IOException {
    UnixSocket channel = channel();
    frontEnd.shareMemory();
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.start(ring, 0);
    live();
    ring.driver.addHead(16);
    ring.driver.publish();
    ring.kick.signal();
    frontEnd.receive(channel, CONFIG_CHANGE_MSG, 1);
    Await.until("NEEDS_RESET", () -> frontEnd.get(VhostUserRequest.GET_STATUS) == (0xf | 0x40));
  }
}
