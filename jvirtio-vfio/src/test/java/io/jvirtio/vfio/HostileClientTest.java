// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Memfd;
import java.io.IOException;
import java.util.Arrays;
import java.util.Set;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Each connection ends or goes on as it should; nothing stays open, and the next one is served. */
class HostileClientTest extends WithClient {
  private static final Set<Integer> UNSERVED = Set.of(16, 17, 18);

  private int[] descriptors(int count) throws IOException {
    int[] fds = new int[count];
    Arrays.fill(fds, client.own(EventFd.create()).fd().value());
    return fds;
  }

  @ParameterizedTest
  @EnumSource(value = VfioUserCommand.class, mode = EnumSource.Mode.EXCLUDE, names = "VERSION")
  void tooManyDescriptorsWithAnyCommand(VfioUserCommand command) throws IOException {
    client.negotiate();
    assertEquals(Errno.EINVAL, client.refused(command, new byte[0], descriptors(253)));
    client.sync();
  }

  @ParameterizedTest
  @EnumSource(
      value = VfioUserCommand.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"VERSION", "DEVICE_GET_INFO"})
  void aPayloadOfAnotherLength(VfioUserCommand command) throws IOException {
    client.negotiate();
    int expected = UNSERVED.contains(command.id()) ? Errno.EOPNOTSUPP : Errno.EINVAL;
    for (int length : new int[] {1, 3, 7, 9, 15, 17, 31, 4096, 1 << 20}) {
      byte[] payload = new byte[length];
      Arrays.fill(payload, (byte) 0xff);
      assertEquals(expected, client.refused(command, payload));
    }
    client.sync();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 14, 19, 255, 256, 0xffff})
  void anUnknownCommand(int command) throws IOException {
    client.negotiate();
    assertEquals(Errno.ENOSYS, client.refused(command, new byte[100], descriptors(5)));
    client.sync();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 15, -1, Integer.MIN_VALUE, (1 << 20) + 33, Integer.MAX_VALUE})
  void aSizeThatCannotBe(int size) throws IOException {
    client.negotiate();
    client.raw(Client.header(1, 4, size, 0), descriptors(8));
    client.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 3, 15})
  void aTypeThatThereIsNot(int type) throws IOException {
    client.negotiate();
    client.raw(Client.header(1, 13, 16, type));
    client.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 0x21})
  void aReplyToNothing(int flags) throws IOException {
    client.negotiate();
    client.raw(Client.header(1, VfioUserCommand.DMA_READ.id(), 16, flags));
    client.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 8, 15, 16, 17, 47})
  void aMessageThatEndsInItsMiddle(int length) throws IOException {
    client.negotiate();
    byte[] whole = new byte[48];
    System.arraycopy(Client.header(1, 2, 48, 0), 0, whole, 0, 16);
    client.raw(Arrays.copyOf(whole, length), descriptors(3));
  }

  @Test
  void aMessageInManyPieces() throws IOException {
    client.negotiate();
    byte[] header = Client.header(77, VfioUserCommand.DEVICE_RESET.id(), 16, 0);
    for (byte one : header) {
      client.raw(new byte[] {one});
    }
    assertEquals(77, client.receive().id());
  }

  @Test
  void descriptorsWithEveryByte() throws IOException {
    client.negotiate();
    int[] fds = descriptors(200);
    for (byte one : Client.header(1, VfioUserCommand.DEVICE_RESET.id(), 16, 0)) {
      client.raw(new byte[] {one}, fds);
    }
    assertEquals(Errno.EINVAL, client.receive().error());
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4})
  void theClientLeavesAtAnyStep(int steps) throws IOException {
    int step = 0;
    if (step++ < steps) {
      client.negotiate();
    }
    if (step++ < steps) {
      client.makeMemory();
      client.mapMemory();
      client.event(VfioUserCodec.IRQ_INTX, 0);
    }
    if (step++ < steps) {
      Client.Ring ring = client.drive();
      ring.submit("nobody waits");
    }
    if (step++ < steps) {
      client.send(VfioUserCommand.DMA_UNMAP, Client.unmap(2, 0, 0));
    }
  }

  @Test
  void theClientLeavesWithBuffersInFlight() throws IOException {
    Client.Ring ring = client.start();
    served.device.hold();
    ring.submit("held");
    Await.until("it is held", () -> served.device.held() == 1);
    client.close();
    served.device.release();
  }

  @Test
  void aDriverThatBreaksItsRing() throws IOException {
    Client.Ring ring = client.start();
    ring.driver.ring().availIdx(12345);
    client.post(Client.BAR, Client.NOTIFY, 2, 0);
    Await.until("a fault", () -> client.read(Client.BAR, 0x14, 1) == 0x4f);
    assertEquals(1, served.server.stats().faults());
  }

  @Test
  void memoryThatShrinksUnderAQueue() throws IOException {
    Client.Ring ring = client.start();
    ring.echo("before");
    Memfd.resize(client.memfd, 0);
    client.post(Client.BAR, Client.NOTIFY, 2, 0);
    Await.until("a fault", () -> served.server.stats().faults() > 0);
    client.sync();
  }

  @Test
  void noiseEndsTheConnectionOrIsAnswered() throws IOException {
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    for (int round = 0; round < 100; round++) {
      try (Client noisy = next()) {
        noisy.negotiate();
        byte[] payload = new byte[random.nextInt(64)];
        random.nextBytes(payload);
        int command = 2 + random.nextInt(17);
        noisy.send(command, Client.NO_REPLY, payload, descriptors(random.nextInt(3)));
        random.nextBytes(payload);
        byte[] head = Client.header(round, command, 16 + payload.length, random.nextInt(64));
        noisy.raw(Client.bytes(16 + payload.length, out -> out.put(head).put(payload)));
      }
    }
  }

  /** One client is served at a time: the first leaves. */
  private Client next() throws IOException {
    client.socket.close();
    return served.connect();
  }
}
