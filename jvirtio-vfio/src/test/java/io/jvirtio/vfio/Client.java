// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

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
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.PackedRawRing;
import io.jvirtio.testkit.RawRing;
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
import java.util.function.Consumer;

/** A client that says what a test tells it to, right or wrong. One thread. */
final class Client implements AutoCloseable {
  static final int NO_REPLY = 1 << 4;
  static final long GUEST = 0x4000_0000L;
  static final long SIZE = 4 << 20;
  static final int CONFIG = VfioUserCodec.CONFIG_REGION;
  static final int BAR = 4; // of the modern interface
  static final int NOTIFY = 0x3000;
  static final String CAPABILITIES =
      "{\"capabilities\": {\"max_msg_fds\": 16, \"max_data_xfer_size\": 1048576,"
          + " \"pgsizes\": 4096, \"max_dma_maps\": 65535, \"write_multiple\": true}}";

  static final int DATA_NONE = 1;
  static final int DATA_BOOL = 2;
  static final int DATA_EVENTFD = 4;
  static final int MASK = 8;
  static final int UNMASK = 16;
  static final int TRIGGER = 32;

  /** A reply as it came. */
  record Reply(int id, int command, int flags, int error, ByteBuffer payload) {}

  final UnixSocket socket;
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment buffer = arena.allocate(2 << 20, 8);
  private final Deque<AutoCloseable> owned = new ArrayDeque<>();
  private int nextId = 100;
  Fd memfd;
  TestMemory memory;
  private Mapping guest;

  /** How many commands of the server were served. */
  int served;

  Client(UnixSocket socket) {
    this.socket = socket;
    socket.setReceiveTimeout(Duration.ofSeconds(20));
    socket.setSendTimeout(Duration.ofSeconds(20));
  }

  <T extends AutoCloseable> T own(T resource) {
    owned.push(resource);
    return resource;
  }

  static byte[] bytes(int size, Consumer<ByteBuffer> fill) {
    ByteBuffer out = ByteBuffer.allocate(size).order(ByteOrder.nativeOrder());
    fill.accept(out);
    return out.array();
  }

  static byte[] header(int id, int command, int size, int flags) {
    return bytes(
        16,
        out ->
            out.putShort((short) id)
                .putShort((short) command)
                .putInt(size)
                .putInt(flags)
                .putInt(0));
  }

  static byte[] version(int major, int minor, String data) {
    byte[] text = data == null ? new byte[0] : (data + "\0").getBytes(StandardCharsets.UTF_8);
    return bytes(
        4 + text.length, out -> out.putShort((short) major).putShort((short) minor).put(text));
  }

  static byte[] map(int flags, long offset, long address, long size) {
    return bytes(
        32, out -> out.putInt(32).putInt(flags).putLong(offset).putLong(address).putLong(size));
  }

  static byte[] unmap(int flags, long address, long size) {
    return bytes(24, out -> out.putInt(24).putInt(flags).putLong(address).putLong(size));
  }

  static byte[] info(int size, int index) {
    return bytes(size, out -> out.putInt(size).putInt(0).putInt(index));
  }

  static byte[] irqs(int flags, int index, int start, int count, byte... chosen) {
    return bytes(
        20 + chosen.length,
        out ->
            out.putInt(20 + chosen.length)
                .putInt(flags)
                .putInt(index)
                .putInt(start)
                .putInt(count)
                .put(chosen));
  }

  static byte[] access(int region, long offset, int count, byte... data) {
    return bytes(
        16 + data.length, out -> out.putLong(offset).putInt(region).putInt(count).put(data));
  }

  /** Sends bytes, whatever they are. */
  void raw(byte[] bytes, int... fds) throws IOException {
    MemorySegment.copy(MemorySegment.ofArray(bytes), 0, buffer, 0, bytes.length);
    socket.send(buffer, bytes.length, fds);
  }

  /** Sends a command; its id. */
  int send(int command, int flags, byte[] payload, int... fds) throws IOException {
    int id = nextId++ & 0xffff;
    byte[] head = header(id, command, 16 + payload.length, flags);
    raw(bytes(16 + payload.length, out -> out.put(head).put(payload)), fds);
    return id;
  }

  int send(VfioUserCommand command, byte[] payload, int... fds) throws IOException {
    return send(command.id(), 0, payload, fds);
  }

  Reply receive() throws IOException {
    while (true) {
      Reply message = receiveOne();
      if ((message.flags() & 0xf) != 0) {
        return message;
      }
      serve(message);
    }
  }

  /** Serves what the server asks for. */
  void pump() throws IOException {
    while (socket.awaitReadable(0)) {
      Reply message = receiveOne();
      assertEquals(0, message.flags());
      serve(message);
    }
  }

  /** DMA_READ and DMA_WRITE, as the test has it. */
  void serve(Reply command) throws IOException {
    served++;
    long address = command.payload().getLong();
    int count = (int) command.payload().getLong();
    MemorySegment part = guest.segment().asSlice(address - GUEST, count);
    boolean read = command.command() == VfioUserCommand.DMA_READ.id();
    byte[] data = new byte[read ? count : 0];
    if (read) {
      MemorySegment.copy(part, 0, MemorySegment.ofArray(data), 0, count);
    } else {
      byte[] written = new byte[count];
      command.payload().get(written);
      MemorySegment.copy(MemorySegment.ofArray(written), 0, part, 0, count);
    }
    answer(
        command, 1, bytes(16 + data.length, out -> out.putLong(address).putLong(count).put(data)));
  }

  /** Answers a command of the server. */
  void answer(Reply command, int flags, byte[] payload) throws IOException {
    byte[] head = header(command.id(), command.command(), 16 + payload.length, flags);
    raw(bytes(16 + payload.length, out -> out.put(head).put(payload)));
  }

  /** The next message, whatever it is. */
  Reply receiveOne() throws IOException {
    if (!socket.receive(buffer, 16, Fd::close)) {
      throw new EOFException("no reply");
    }
    ByteBuffer head = buffer.asSlice(0, 16).asByteBuffer().order(ByteOrder.nativeOrder());
    int id = head.getShort() & 0xffff;
    int command = head.getShort() & 0xffff;
    int size = head.getInt() - 16;
    Reply reply = new Reply(id, command, head.getInt(), head.getInt(), ByteBuffer.allocate(size));
    if (size > 0) {
      assertTrue(socket.receive(buffer, size, Fd::close));
      MemorySegment.copy(buffer, 0, MemorySegment.ofBuffer(reply.payload()), 0, size);
    }
    reply.payload().order(ByteOrder.nativeOrder());
    return reply;
  }

  /** Sends a command; the payload of its reply. */
  ByteBuffer call(VfioUserCommand command, byte[] payload, int... fds) throws IOException {
    int id = send(command, payload, fds);
    Reply reply = receive();
    assertEquals(id, reply.id());
    assertEquals(command.id(), reply.command());
    assertEquals(0, reply.error(), command + " refused");
    assertEquals(1, reply.flags());
    return reply.payload();
  }

  /** Sends a command that is refused; the error. */
  int refused(VfioUserCommand command, byte[] payload, int... fds) throws IOException {
    return refused(command.id(), payload, fds);
  }

  int refused(int command, byte[] payload, int... fds) throws IOException {
    int id = send(command, 0, payload, fds);
    Reply reply = receive();
    assertEquals(id, reply.id());
    assertEquals(0x21, reply.flags());
    assertEquals(0, reply.payload().capacity());
    return reply.error();
  }

  /** Waits until every message so far has been handled. */
  void sync() throws IOException {
    call(VfioUserCommand.DEVICE_GET_INFO, info(16, 0));
  }

  void negotiate() throws IOException {
    call(VfioUserCommand.VERSION, version(0, 0, CAPABILITIES));
  }

  /** Makes the guest's memory. */
  void makeMemory() throws IOException {
    memfd = own(Memfd.create("guest", SIZE));
    guest = own(Mapping.shared(memfd, 0, SIZE));
    memory = own(TestMemory.builder().region(GUEST, guest.segment()).build());
  }

  void mapMemory() throws IOException {
    call(VfioUserCommand.DMA_MAP, map(3, 0, GUEST, SIZE), memfd.value());
  }

  // --- registers -----------------------------------------------------------------------------

  long read(int region, long offset, int width) throws IOException {
    ByteBuffer reply = call(VfioUserCommand.REGION_READ, access(region, offset, width));
    assertEquals(16 + width, reply.capacity());
    assertEquals(offset, reply.getLong());
    assertEquals(region, reply.getInt());
    assertEquals(width, reply.getInt());
    long value = 0;
    for (int i = 0; i < width; i++) {
      value |= (reply.get() & 0xffL) << 8 * i;
    }
    return value;
  }

  static byte[] little(long value, int width) {
    byte[] bytes = new byte[width];
    for (int i = 0; i < width; i++) {
      bytes[i] = (byte) (value >>> 8 * i);
    }
    return bytes;
  }

  void write(int region, long offset, int width, long value) throws IOException {
    ByteBuffer reply =
        call(VfioUserCommand.REGION_WRITE, access(region, offset, width, little(value, width)));
    assertEquals(16, reply.capacity());
  }

  void post(int region, long offset, int width, long value) throws IOException {
    byte[] payload = access(region, offset, width, little(value, width));
    send(VfioUserCommand.REGION_WRITE.id(), NO_REPLY, payload);
  }

  /** Everything up to DRIVER_OK, with one queue. */
  Ring start() throws IOException {
    negotiate();
    makeMemory();
    mapMemory();
    return drive();
  }

  Ring drive() throws IOException {
    return drive(FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1));
  }

  /** A driver, from bus mastering to DRIVER_OK. */
  Ring drive(FeatureBits features) throws IOException {
    write(CONFIG, 4, 2, 6); // memory, bus master
    for (int status : new int[] {0, 1, 3}) {
      write(BAR, 0x14, 1, status);
    }
    for (int word = 0; word < 2; word++) {
      write(BAR, 0x08, 4, word);
      write(BAR, 0x0c, 4, features.low() >>> 32 * word);
    }
    write(BAR, 0x14, 1, 0xb);
    assertEquals(0xb, read(BAR, 0x14, 1));
    boolean packed = features.has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    QueueLayout layout = packed ? PackedRawRing.allocate(memory, 16) : RawRing.allocate(memory, 16);
    Ring ring = new Ring(layout, features);
    write(BAR, 0x16, 2, 0);
    write(BAR, 0x18, 2, 16);
    write(BAR, 0x1a, 2, 1); // MSI-X vector
    write(BAR, 0x20, 8, ring.layout.descriptorArea());
    write(BAR, 0x28, 8, ring.layout.driverArea());
    write(BAR, 0x30, 8, ring.layout.deviceArea());
    write(BAR, 0x1c, 2, 1);
    write(BAR, 0x14, 1, 0xf);
    assertEquals(0xf, read(BAR, 0x14, 1) & 0xf);
    return ring;
  }

  /** Enables MSI-X in the capability, which is found as a driver does. */
  void enableMsix() throws IOException {
    int at = (int) read(CONFIG, 0x34, 1);
    while (read(CONFIG, at, 1) != 0x11) {
      at = (int) read(CONFIG, at + 1, 1);
    }
    write(CONFIG, at + 2, 2, read(CONFIG, at + 2, 2) | 0x8000);
  }

  EventFd event(int type, int number) throws IOException {
    EventFd event = own(EventFd.create());
    arm(type, number, event);
    return event;
  }

  void arm(int type, int number, EventFd event) throws IOException {
    call(
        VfioUserCommand.DEVICE_SET_IRQS,
        irqs(DATA_EVENTFD | TRIGGER, type, number, 1),
        event.fd().value());
  }

  /** Queue 0 from the driver's side. */
  final class Ring {
    final QueueLayout layout;
    final ScriptedDriver driver;

    Ring(QueueLayout layout, FeatureBits features) {
      this.layout = layout;
      driver = new ScriptedDriver(memory, layout, features, ByteOrder.LITTLE_ENDIAN);
    }

    void submit(String text) throws IOException {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      driver.chain().readable(bytes).writable(bytes.length).submit();
      post(BAR, NOTIFY, 2, 0);
    }

    void expect(String text) {
      Await.until(text + " comes back", () -> driver.pending() > 0);
      ScriptedDriver.Used used = driver.poll();
      assertArrayEquals(text.getBytes(StandardCharsets.UTF_8), used.bytes());
    }

    /** One buffer there and back. */
    void echo(String text) throws IOException {
      submit(text);
      expect(text);
    }
  }

  /** Waits for the server to end the connection; fails when it sends something instead. */
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
