// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.Mapping;
import io.jvirtio.linux.Memfd;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.PackedRawRing;
import io.jvirtio.testkit.RawRing;
import io.jvirtio.testkit.RingFormat;
import io.jvirtio.testkit.ScriptedDriver;
import io.jvirtio.testkit.TestMemory;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;

/** A front-end that says what a test tells it to, right or wrong. One thread. */
final class FrontEnd implements AutoCloseable {
  static final int NEED_REPLY = 1 << 3;
  static final long GUEST = 0x4000_0000L;
  static final long USER = 0x7000_0000_0000L;
  static final long SIZE = 4 << 20;
  static final int RING_SIZE = 16;
  static final long PROTOCOL_BIT = 1L << ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES;
  static final long VERSION_1 = 1L << ReservedFeatures.VIRTIO_F_VERSION_1;

  /** A reply as it came. */
  record Reply(int id, int flags, ByteBuffer payload) {}

  final UnixSocket socket;
  final RingFormat format;
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment buffer = arena.allocate(8192, 8);
  private final Deque<AutoCloseable> owned = new ArrayDeque<>();
  Fd memfd;
  TestMemory memory;

  FrontEnd(UnixSocket socket, RingFormat format) {
    this.socket = socket;
    this.format = format;
    socket.setReceiveTimeout(Duration.ofSeconds(20));
    socket.setSendTimeout(Duration.ofSeconds(20));
  }

  <T extends AutoCloseable> T own(T resource) {
    owned.push(resource);
    return resource;
  }

  static byte[] bytes(int size, java.util.function.Consumer<ByteBuffer> fill) {
    ByteBuffer out = ByteBuffer.allocate(size).order(ByteOrder.nativeOrder());
    fill.accept(out);
    return out.array();
  }

  static byte[] header(int id, int flags, int size) {
    return bytes(12, out -> out.putInt(id).putInt(flags).putInt(size));
  }

  static byte[] u64(long value) {
    return bytes(8, out -> out.putLong(value));
  }

  static byte[] state(int index, int num) {
    return bytes(8, out -> out.putInt(index).putInt(num));
  }

  static byte[] region(long guest, long size, long user, long offset) {
    return bytes(
        40, out -> out.putLong(0).putLong(guest).putLong(size).putLong(user).putLong(offset));
  }

  static byte[] config(int offset, int size, int flags, byte[] value) {
    return bytes(
        12 + value.length, out -> out.putInt(offset).putInt(size).putInt(flags).put(value));
  }

  /** Sends bytes, whatever they are. */
  void raw(byte[] bytes, int... fds) throws IOException {
    MemorySegment.copy(MemorySegment.ofArray(bytes), 0, buffer, 0, bytes.length);
    socket.send(buffer, bytes.length, fds);
  }

  void send(VhostUserRequest request, int flags, byte[] payload, int... fds) throws IOException {
    byte[] head = header(request.id(), 1 | flags, payload.length);
    raw(bytes(12 + payload.length, out -> out.put(head).put(payload)), fds);
  }

  void send(VhostUserRequest request, byte[] payload, int... fds) throws IOException {
    send(request, 0, payload, fds);
  }

  Reply receive(VhostUserRequest request) throws IOException {
    return receive(socket, request.id(), 5);
  }

  /** A message on any channel; null at its end. */
  Reply receive(UnixSocket from, int id, int flags) throws IOException {
    if (!from.receive(buffer, 12, Fd::close)) {
      throw new EOFException("no reply to " + id);
    }
    ByteBuffer head = buffer.asSlice(0, 12).asByteBuffer().order(ByteOrder.nativeOrder());
    Reply reply = new Reply(head.getInt(), head.getInt(), ByteBuffer.allocate(head.getInt()));
    assertEquals(id, reply.id());
    assertEquals(flags, reply.flags());
    int size = reply.payload().capacity();
    if (size > 0) {
      assertTrue(from.receive(buffer, size, Fd::close));
      MemorySegment.copy(buffer, 0, MemorySegment.ofBuffer(reply.payload()), 0, size);
    }
    reply.payload().order(ByteOrder.nativeOrder());
    return reply;
  }

  long get(VhostUserRequest request) throws IOException {
    send(request, new byte[0]);
    Reply reply = receive(request);
    assertEquals(8, reply.payload().capacity());
    return reply.payload().getLong();
  }

  void set(VhostUserRequest request, long value) throws IOException {
    send(request, u64(value));
  }

  /** Sends with need_reply; the answer, 0 for success. */
  long acknowledged(VhostUserRequest request, byte[] payload, int... fds) throws IOException {
    send(request, NEED_REPLY, payload, fds);
    return receive(request).payload().getLong();
  }

  /** Waits until every message so far has been handled. */
  void sync() throws IOException {
    get(VhostUserRequest.GET_FEATURES);
  }

  /** What {@link #negotiate} accepts. */
  long features() {
    return format.applyTo(new FeatureBits(VERSION_1 | PROTOCOL_BIT, 0)).low();
  }

  /** Every protocol feature that is offered; VERSION_1, and the format of the rings. */
  void negotiate() throws IOException {
    negotiate(get(VhostUserRequest.GET_PROTOCOL_FEATURES), features());
  }

  void negotiate(long protocol, long features) throws IOException {
    long offered = get(VhostUserRequest.GET_FEATURES);
    assertEquals(features, offered & features);
    if ((features & PROTOCOL_BIT) != 0) {
      set(VhostUserRequest.SET_PROTOCOL_FEATURES, protocol);
    }
    send(VhostUserRequest.SET_OWNER, new byte[0]);
    boolean status = (protocol >>> ProtocolFeatures.STATUS & 1) != 0;
    if (status) {
      set(VhostUserRequest.SET_STATUS, 0);
      set(VhostUserRequest.SET_STATUS, 1);
      set(VhostUserRequest.SET_STATUS, 3);
    }
    set(VhostUserRequest.SET_FEATURES, features);
    if (status) {
      set(VhostUserRequest.SET_STATUS, 0xb);
      assertEquals(0xb, get(VhostUserRequest.GET_STATUS));
    }
  }

  void driverOk() throws IOException {
    set(VhostUserRequest.SET_STATUS, 0xf);
    assertEquals(0xf, get(VhostUserRequest.GET_STATUS));
  }

  /** Makes the guest's memory. */
  void makeMemory() throws IOException {
    memfd = own(Memfd.create("guest", SIZE));
    Mapping mapping = own(Mapping.shared(memfd, 0, SIZE));
    memory = own(TestMemory.builder().region(GUEST, mapping.segment()).build());
  }

  /** Makes the guest's memory and sends it as a table. */
  void shareMemory() throws IOException {
    makeMemory();
    sendTable(memfd);
  }

  void sendTable(Fd file) throws IOException {
    send(VhostUserRequest.SET_MEM_TABLE, table(new long[] {GUEST, SIZE, USER, 0}), file.value());
  }

  static byte[] table(long[]... regions) {
    return bytes(
        8 + 32 * regions.length,
        out -> {
          out.putInt(regions.length).putInt(0);
          for (long[] region : regions) {
            for (long field : region) {
              out.putLong(field);
            }
          }
        });
  }

  /** A ring in the guest's memory that the back-end has not heard of. */
  Ring ring(int index) throws IOException {
    return new Ring(
        index,
        format == RingFormat.PACKED
            ? PackedRawRing.allocate(memory, RING_SIZE)
            : RawRing.allocate(memory, RING_SIZE));
  }

  /** One vring: the driver's side of it and its descriptors. */
  final class Ring {
    final int index;
    final QueueLayout layout;
    final ScriptedDriver driver;
    final EventFd kick;
    EventFd call;

    Ring(int index, QueueLayout layout) throws IOException {
      this.index = index;
      this.layout = layout;
      driver =
          new ScriptedDriver(
              memory, layout, format.applyTo(FeatureBits.NONE), ByteOrder.LITTLE_ENDIAN);
      kick = own(EventFd.create());
      call = own(EventFd.create());
    }

    /** The index of the ring after so many buffers since its start, as messages carry it. */
    int base(int buffers) {
      if (format == RingFormat.SPLIT) {
        return buffers;
      }
      // Each has two descriptors; the wrap counter is 1 at first.
      int descriptors = 2 * buffers;
      int at = descriptors % RING_SIZE;
      int both = descriptors / RING_SIZE % 2 == 0 ? at | PackedRing.WRAP : at;
      return both << 16 | both;
    }

    byte[] address() {
      return bytes(
          40,
          out ->
              out.putInt(index)
                  .putInt(0)
                  .putLong(layout.descriptorArea() - GUEST + USER)
                  .putLong(layout.deviceArea() - GUEST + USER)
                  .putLong(layout.driverArea() - GUEST + USER)
                  .putLong(0));
    }

    void submit(String text) throws IOException {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      driver.chain().readable(bytes).writable(bytes.length).submit();
    }

    void expect(String text) {
      Await.until(text + " comes back", () -> driver.pending() > 0);
      ScriptedDriver.Used used = driver.poll();
      assertArrayEquals(text.getBytes(StandardCharsets.UTF_8), used.bytes());
    }

    /** One buffer there and back, with kick and call. */
    void echo(String text) throws IOException {
      call.drain();
      submit(text);
      kick.signal();
      Await.until("call for " + text, () -> call.drain() > 0);
      expect(text);
    }
  }

  void fd(VhostUserRequest request, int index, EventFd event) throws IOException {
    if (event == null) {
      set(request, index | VhostUserCodec.VRING_NOFD);
    } else {
      send(request, u64(index), event.fd().value());
    }
  }

  /** Everything that starts a ring, after so many buffers. */
  void start(Ring ring, int buffers) throws IOException {
    configure(ring, buffers);
    fd(VhostUserRequest.SET_VRING_KICK, ring.index, ring.kick);
    send(VhostUserRequest.SET_VRING_ENABLE, state(ring.index, 1));
  }

  /** All but the kick descriptor and the permission to run. */
  void configure(Ring ring, int buffers) throws IOException {
    send(VhostUserRequest.SET_VRING_NUM, state(ring.index, ring.layout.size()));
    send(VhostUserRequest.SET_VRING_BASE, state(ring.index, ring.base(buffers)));
    send(VhostUserRequest.SET_VRING_ADDR, ring.address());
    fd(VhostUserRequest.SET_VRING_CALL, ring.index, ring.call);
  }

  /** Stops a ring; the index at which it goes on. */
  int stop(Ring ring) throws IOException {
    send(VhostUserRequest.GET_VRING_BASE, state(ring.index, 0));
    ByteBuffer payload = receive(VhostUserRequest.GET_VRING_BASE).payload();
    assertEquals(ring.index, payload.getInt());
    return payload.getInt();
  }

  /** Waits for the back-end to end the connection; fails when it sends something instead. */
  void expectEnd() throws IOException {
    boolean more;
    try {
      more = socket.receive(buffer, 1, Fd::close);
    } catch (LinuxException reset) {
      more = false; // It had not read everything.
    }
    assertTrue(!more, "the connection goes on");
  }

  @Override
  public void close() {
    if (!arena.scope().isAlive()) {
      return;
    }
    socket.close();
    arena.close();
    while (!owned.isEmpty()) {
      try {
        owned.pop().close();
      } catch (Exception e) {
        throw new AssertionError(e);
      }
    }
  }
}
