// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.OpenFlag;
import io.jvirtio.linux.RawFile;
import io.jvirtio.testkit.EchoDevice;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Each connection ends or goes on as it should; nothing stays open, and the next one is served. */
class HostileFrontEndTest {
  @TempDir Path directory;
  private BackEnd backEnd;
  private List<String> before;
  private FrontEnd frontEnd;

  @BeforeEach
  void connect() throws IOException {
    backEnd = new BackEnd(directory);
    before = backEnd.warmUp();
    frontEnd = backEnd.connect();
  }

  @AfterEach
  void nothingIsLeft() throws IOException {
    frontEnd.close();
    try {
      Await.descriptors(before);
      backEnd.serveOneMore();
      Await.descriptors(before);
    } finally {
      backEnd.close();
    }
  }

  private FrontEnd.Ring running() throws IOException {
    frontEnd.negotiate();
    frontEnd.shareMemory();
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.start(ring, 0);
    frontEnd.driverOk();
    ring.echo("runs");
    return ring;
  }

  private int[] descriptors(int count) throws IOException {
    int[] fds = new int[count];
    Arrays.fill(fds, frontEnd.own(EventFd.create()).fd().value());
    return fds;
  }

  @ParameterizedTest
  @EnumSource(VhostUserRequest.class)
  void tooManyDescriptorsWithAnyMessage(VhostUserRequest request) throws IOException {
    frontEnd.negotiate();
    frontEnd.send(request, new byte[0], descriptors(253));
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @EnumSource(VhostUserRequest.class)
  void aPayloadThatIsTooLong(VhostUserRequest request) throws IOException {
    frontEnd.negotiate();
    frontEnd.send(request, new byte[4096]);
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @EnumSource(VhostUserRequest.class)
  void aMessageBeforeNegotiation(VhostUserRequest request) throws IOException {
    if (request.protocolFeature() < 0) {
      frontEnd.sync();
      return;
    }
    byte[] payload =
        switch (request.payload()) {
          case U64 -> FrontEnd.u64(3);
          case CONFIG -> FrontEnd.config(0, 8, 0, new byte[8]);
          case MEMORY_REGION -> FrontEnd.region(0, 1, 0, 0);
          default -> new byte[0];
        };
    frontEnd.send(request, payload, descriptors(request.minFds()));
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 6, 7, 19, 41, 1000, -1})
  void anUnknownMessageWithDescriptors(int id) throws IOException {
    frontEnd.raw(FrontEnd.header(id, 1, 8), descriptors(8));
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 4, 11, 12, 13, 19})
  void aMessageThatEndsInItsMiddle(int length) throws IOException {
    byte[] whole = new byte[20];
    System.arraycopy(FrontEnd.header(VhostUserRequest.SET_VRING_CALL.id(), 1, 8), 0, whole, 0, 12);
    frontEnd.raw(Arrays.copyOf(whole, length), descriptors(3));
  }

  @Test
  void aMessageInManyPieces() throws IOException {
    byte[] header = FrontEnd.header(VhostUserRequest.GET_FEATURES.id(), 1, 0);
    for (byte one : header) {
      frontEnd.raw(new byte[] {one});
    }
    assertTrue(frontEnd.receive(VhostUserRequest.GET_FEATURES).payload().getLong() != 0);
  }

  @Test
  void descriptorsWithEveryByte() throws IOException {
    byte[] header = FrontEnd.header(VhostUserRequest.SET_VRING_KICK.id(), 1, 8);
    int[] fds = descriptors(200);
    for (byte one : header) {
      frontEnd.raw(new byte[] {one}, fds);
    }
    for (int i = 0; i < 8; i++) {
      frontEnd.raw(new byte[1], fds);
    }
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
  void theConnectionClosesAtAnyStep(int steps) throws IOException {
    int step = 0;
    if (step++ < steps) {
      frontEnd.get(VhostUserRequest.GET_FEATURES);
    }
    if (step++ < steps) {
      frontEnd.negotiate();
    }
    if (step++ < steps) {
      frontEnd.shareMemory();
    }
    if (step++ >= steps) {
      return;
    }
    FrontEnd.Ring ring = frontEnd.ring(1);
    frontEnd.send(VhostUserRequest.SET_VRING_NUM, FrontEnd.state(1, 16));
    if (step++ < steps) {
      frontEnd.send(VhostUserRequest.SET_VRING_ADDR, ring.address());
    }
    if (step++ < steps) {
      frontEnd.fd(VhostUserRequest.SET_VRING_CALL, 1, ring.call);
    }
    if (step++ < steps) {
      frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 1, ring.kick);
    }
    if (step++ < steps) {
      frontEnd.send(VhostUserRequest.SET_VRING_ENABLE, FrontEnd.state(1, 1));
    }
    if (step++ < steps) {
      frontEnd.driverOk();
    }
    if (step++ < steps) {
      ring.echo("so far");
    }
  }

  @Test
  void aVringThatDoesNotExist() throws IOException {
    frontEnd.negotiate();
    EventFd event = frontEnd.own(EventFd.create());
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, EchoDevice.QUEUES, event);
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {3, 255, -1, Integer.MIN_VALUE, Integer.MAX_VALUE})
  void aVringStateOfNoVring(int index) throws IOException {
    frontEnd.send(VhostUserRequest.SET_VRING_NUM, FrontEnd.state(index, 16));
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -1, 65, 65536, Integer.MIN_VALUE})
  void aVringSizeOutOfRange(int size) throws IOException {
    frontEnd.send(VhostUserRequest.SET_VRING_NUM, FrontEnd.state(0, size));
    frontEnd.expectEnd();
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, 65536, Integer.MAX_VALUE})
  void aVringBaseOutOfRange(int base) throws IOException {
    frontEnd.send(VhostUserRequest.SET_VRING_BASE, FrontEnd.state(0, base));
    frontEnd.expectEnd();
  }

  @Test
  void enablingByTwo() throws IOException {
    frontEnd.send(VhostUserRequest.SET_VRING_ENABLE, FrontEnd.state(0, 2));
    frontEnd.expectEnd();
  }

  @Test
  void aStatusOfNineBits() throws IOException {
    frontEnd.negotiate();
    frontEnd.set(VhostUserRequest.SET_STATUS, 0x100);
    frontEnd.expectEnd();
  }

  @Test
  void anotherSizeWhileARingRuns() throws IOException {
    running();
    frontEnd.send(VhostUserRequest.SET_VRING_NUM, FrontEnd.state(0, 32));
    frontEnd.expectEnd();
  }

  @Test
  void anotherBaseWhileARingRuns() throws IOException {
    running();
    frontEnd.send(VhostUserRequest.SET_VRING_BASE, FrontEnd.state(0, 0));
    frontEnd.expectEnd();
  }

  @Test
  void anotherAddressWhileARingRuns() throws IOException {
    FrontEnd.Ring ring = running();
    frontEnd.send(VhostUserRequest.SET_VRING_ADDR, ring.address());
    ring.echo("the same address is allowed");
    frontEnd.send(VhostUserRequest.SET_VRING_ADDR, frontEnd.ring(0).address());
    frontEnd.expectEnd();
  }

  @Test
  void otherFeaturesWhileARingRuns() throws IOException {
    FrontEnd.Ring ring = running();
    frontEnd.set(VhostUserRequest.SET_FEATURES, FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
    ring.echo("the same features are allowed");
    frontEnd.set(VhostUserRequest.SET_FEATURES, FrontEnd.PROTOCOL_BIT);
    frontEnd.expectEnd();
  }

  @Test
  void aRegularFileAsEventDescriptors() throws IOException {
    running();
    Path path = Files.write(directory.resolve("file"), new byte[64]);
    Fd file = frontEnd.own(RawFile.open(path, OpenFlag.READ_WRITE)).fd();
    for (VhostUserRequest request :
        new VhostUserRequest[] {
          VhostUserRequest.SET_VRING_KICK,
          VhostUserRequest.SET_VRING_CALL,
          VhostUserRequest.SET_VRING_ERR
        }) {
      frontEnd.send(request, FrontEnd.u64(0), file.value());
    }
    frontEnd.sync();
  }

  @Test
  void aSocketAsEventDescriptors() throws IOException {
    FrontEnd.Ring ring = running();
    io.jvirtio.linux.UnixSocket[] pair = io.jvirtio.linux.UnixSocket.pair(null);
    frontEnd.own(pair[0]);
    frontEnd.own(pair[1]);
    frontEnd.send(VhostUserRequest.SET_VRING_KICK, FrontEnd.u64(0), pair[0].fd().value());
    frontEnd.send(VhostUserRequest.SET_VRING_CALL, FrontEnd.u64(0), pair[0].fd().value());
    frontEnd.sync();
    // Nobody reads what the call writes: it is full soon, and must not block.
    EventFd full = frontEnd.own(EventFd.of(pair[0].fd().duplicate()));
    for (int i = 0; i < 2000; i++) {
      full.signal();
    }
    // It becomes readable: as good a kick as any.
    for (int i = 0; i < 50; i++) {
      ring.submit("x");
      pair[1].send(java.lang.foreign.Arena.ofAuto().allocate(1), 1);
      ring.expect("x");
    }
    frontEnd.sync();
  }

  @Test
  void aPipeWithoutAReaderAsCallDescriptor() throws IOException {
    FrontEnd.Ring ring = running();
    Path fifo = directory.resolve("fifo");
    makeFifo(fifo);
    Fd pipe = frontEnd.own(RawFile.open(fifo, OpenFlag.READ_WRITE)).fd();
    frontEnd.send(VhostUserRequest.SET_VRING_CALL, FrontEnd.u64(0), pipe.value());
    frontEnd.send(VhostUserRequest.SET_VRING_KICK, FrontEnd.u64(0), pipe.value());
    frontEnd.sync();
    EventFd event = EventFd.of(pipe.duplicate());
    frontEnd.own(event);
    ring.submit("by pipe");
    event.signal();
    ring.expect("by pipe");
    frontEnd.stop(ring);
  }

  private static void makeFifo(Path path) throws IOException {
    try {
      int exit = new ProcessBuilder("mkfifo", path.toString()).start().waitFor();
      assertEquals(0, exit);
    } catch (InterruptedException e) {
      throw new IOException(e);
    }
  }

  @Test
  void aQueueThatJumpsAndAFrontEndThatLeaves() throws IOException {
    FrontEnd.Ring ring = running();
    ring.driver.ring().availIdx(12345);
    ring.kick.signal();
    Await.until("a fault", () -> backEnd.server.stats().faults() == 1);
  }
}
