// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverType;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The driver side of both formats against DPDK's vhost library, which serves packed virtqueues: a
 * network card that sends back what it gets.
 */
class NetVhostTest {
  /** struct virtio_net_hdr with num_buffers, as every modern device has it. */
  private static final int HEADER = 12;

  private static final int ROOM = 2048;
  private static final int QUEUE_SIZE = 64;

  /** Several times around the queue. */
  private static final int PACKETS = 1600;

  /** With one notification; a device that keeps the order may complete them by one entry. */
  private static final int BURST = 16;

  /** Second bytes of the types of frames that are free for experiments. */
  private static final byte DATA = (byte) 0xb5;

  private static final byte GREETING = (byte) 0xb6;

  private static final int GREETINGS = 150;
  private static final Duration PATIENCE = Duration.ofMillis(200);
  private static final Duration DEADLINE = Duration.ofSeconds(30);

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({"true,true", "true,false", "false,true", "false,false"})
  void packetsComeBack(boolean packed, boolean indirect) throws Exception {
    FeatureBits allowed = DriverDevice.ringFeatures().without(ReservedFeatures.VIRTIO_F_IN_ORDER);
    allowed = packed ? allowed : allowed.without(ReservedFeatures.VIRTIO_F_RING_PACKED);
    allowed = indirect ? allowed : allowed.without(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    exchange(allowed, packed, false);
  }

  @ParameterizedTest
  @CsvSource({"true", "false"})
  void packetsComeBackInOrder(boolean packed) throws Exception {
    FeatureBits all = DriverDevice.ringFeatures();
    exchange(packed ? all : all.without(ReservedFeatures.VIRTIO_F_RING_PACKED), packed, true);
  }

  private void exchange(FeatureBits allowed, boolean packed, boolean inOrder) throws Exception {
    Path socket = folder.resolve("net.sock");
    VhostUserFrontEndOptions options =
        VhostUserFrontEndOptions.defaults().withMaxQueueSize(QUEUE_SIZE);
    // Its standard input is a pipe: a character there would end it.
    try (Peer peer =
            Peer.start(
                folder,
                socket,
                Lab.path("BIN").resolve("dpdk-testpmd").toString(),
                "--no-huge",
                "--no-shconf",
                "-m",
                "128",
                "--no-pci",
                "--vdev",
                "net_vhost0,queues=1,iface=" + socket,
                "--",
                "--total-num-mbufs=2048",
                "--forward-mode=io",
                "--auto-start");
        EventLoop loop = EventLoop.onCaller(LoopMode.EVENT, Duration.ZERO, NetVhostTest::fail)) {
      VhostUserTransport transport =
          VhostUserTransport.connect(socket, DeviceType.NETWORK.id(), options);
      DriverDevice device = new DriverDevice(transport, allowed);
      try {
        Card card = (Card) device.start(new CardType(loop));
        assertEquals(packed, device.hasFeature(ReservedFeatures.VIRTIO_F_RING_PACKED));
        assertEquals(inOrder, device.hasFeature(ReservedFeatures.VIRTIO_F_IN_ORDER));
        greet(card, loop, peer);
        for (int i = 0; i < PACKETS; i += BURST) {
          List<byte[]> packets = new ArrayList<>();
          for (int k = 0; k < BURST; k++) {
            packets.add(packet(i + k, DATA));
          }
          card.received.clear();
          card.send(packets);
          assertTrue(
              loop.runUntil(() -> card.received.size() >= BURST && card.isIdle(), DEADLINE),
              () -> card + " waits:\n" + output(peer));
          assertEquals(BURST, card.received.size());
          for (int k = 0; k < BURST; k++) {
            assertArrayEquals(packets.get(k), card.received.get(k), "packet " + (i + k));
          }
        }
      } finally {
        device.close();
      }
    }
  }

  /** Until both of its queues are open, the card takes packets and drops them. */
  private static void greet(Card card, EventLoop loop, Peer peer) throws PeerFault {
    List<byte[]> greeting = List.of(packet(0, GREETING));
    for (int i = 0; card.greetings == 0; i++) {
      assertTrue(i < GREETINGS, () -> card + ":\n" + output(peer));
      card.send(greeting);
      loop.runUntil(() -> card.greetings > 0, PATIENCE);
      assertTrue(loop.runUntil(card::isIdle, DEADLINE), () -> card + " waits:\n" + output(peer));
    }
  }

  private static String output(Peer peer) {
    try {
      return peer.output();
    } catch (IOException e) {
      return e.toString();
    }
  }

  private static void fail(Object source, Throwable fault) {
    throw new AssertionError("on the owner of " + source, fault);
  }

  /** An Ethernet frame of its own length and contents. */
  private static byte[] packet(int number, byte type) {
    byte[] packet = Patterns.random(number, 60 + number % 1400);
    packet[0] = 2;
    packet[12] = (byte) 0x88;
    packet[13] = type;
    return packet;
  }

  /** Of any network card that needs no configuration space. */
  private record CardType(EventLoop loop) implements DriverType {
    @Override
    public String name() {
      return "echo";
    }

    @Override
    public List<DeviceId> ids() {
      return List.of(DeviceId.ofDevice(DeviceType.NETWORK.id()));
    }

    @Override
    public FeatureBits features() {
      return FeatureBits.NONE;
    }

    @Override
    public Driver probe(DriverDevice device) throws IOException {
      return new Card(device, loop);
    }
  }

  /** Receives into all buffers that fit; sends one burst at a time. */
  private static final class Card implements Driver, UsedBufferHandler {
    private final DriverDevice device;
    private final DriverBuffer buffer;
    private final DriverQueue receive;
    private final DriverQueue transmit;
    private final MemorySegment outgoing;
    private final List<byte[]> received = new ArrayList<>();
    private int greetings;

    Card(DriverDevice device, EventLoop loop) throws IOException {
      this.device = device;
      this.buffer = new DriverBuffer(device.transport().memory(), 2);
      this.outgoing = device.transport().memory().allocate(BURST * ROOM, 1);
      UsedBufferHandler done = Card::takeAll;
      List<DriverQueue> queues =
          device.findQueues(
              List.of(
                  new QueueRequest("receiveq1", 0, 1, this, loop),
                  new QueueRequest("transmitq1", 0, 2, done, loop)));
      receive = queues.get(0);
      transmit = queues.get(1);
    }

    @Override
    public void scan() throws IOException {
      try {
        MemorySegment room = device.transport().memory().allocate(ROOM, 1);
        while (receive.add(buffer.clear().writable(room), room)) {
          room = device.transport().memory().allocate(ROOM, 1);
        }
        receive.kick();
      } catch (PeerFault e) {
        throw new IOException(e);
      }
    }

    void send(List<byte[]> packets) throws PeerFault {
      long at = 0;
      for (byte[] packet : packets) {
        MemorySegment room = outgoing.asSlice(at, ROOM).fill((byte) 0);
        MemorySegment.copy(packet, 0, room, ValueLayout.JAVA_BYTE, HEADER, packet.length);
        MemorySegment header = room.asSlice(0, HEADER);
        MemorySegment frame = room.asSlice(HEADER, packet.length);
        assertTrue(transmit.add(buffer.clear().readable(header).readable(frame), packet));
        at += ROOM;
      }
      transmit.kick();
    }

    @Override
    public void used(DriverQueue queue) throws PeerFault {
      for (Object token = queue.get(); token != null; token = queue.get()) {
        MemorySegment room = (MemorySegment) token;
        long length = queue.writtenLength();
        byte[] frame = room.asSlice(HEADER, length - HEADER).toArray(ValueLayout.JAVA_BYTE);
        if (frame[13] == GREETING) {
          greetings++;
        } else {
          received.add(frame);
        }
        queue.add(buffer.clear().writable(room), room);
      }
      queue.kick();
    }

    private static void takeAll(DriverQueue queue) throws PeerFault {
      while (queue.get() != null) {
        Thread.onSpinWait();
      }
    }

    boolean isIdle() {
      return transmit.inFlight() == 0;
    }

    @Override
    public String toString() {
      return "a card with "
          + receive.counters().used()
          + " packets received and "
          + transmit.counters().used()
          + " sent, "
          + greetings
          + " greetings answered";
    }

    @Override
    public void remove() {
      device.resetAndDelete();
    }

    @Override
    public void freeze() {
      device.resetAndDelete();
    }

    @Override
    public void restore() {
      throw new UnsupportedOperationException("it is never recovered");
    }
  }
}
