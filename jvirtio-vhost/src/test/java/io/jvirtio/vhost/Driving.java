// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.EchoDevice;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** A driver for an {@link EchoDevice} behind a transport: one owner, simple calls that wait. */
final class Driving implements TransportListener, AutoCloseable {
  static final FeatureBits FEATURES =
      FeatureBits.of(
          ReservedFeatures.VIRTIO_F_VERSION_1,
          ReservedFeatures.VIRTIO_F_INDIRECT_DESC,
          ReservedFeatures.VIRTIO_F_EVENT_IDX);
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  /** One buffer on its way. Completed with what came back, or with the fault of its queue. */
  final class Message {
    final CompletableFuture<String> answer = new CompletableFuture<>();
    private final DriverBuffer buffer = new DriverBuffer(transport.memory(), 2);
    private final MemorySegment in;

    Message(String text) throws IOException {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      MemorySegment out = transport.memory().allocate(bytes.length, 1);
      MemorySegment.copy(bytes, 0, out, ValueLayout.JAVA_BYTE, 0, bytes.length);
      in = transport.memory().allocate(bytes.length, 1);
      buffer.readable(out).writable(in);
    }

    DriverBuffer buffer() {
      return buffer;
    }

    private void finish(long written) {
      byte[] bytes = in.asSlice(0, written).toArray(ValueLayout.JAVA_BYTE);
      answer.complete(new String(bytes, StandardCharsets.UTF_8));
    }

    String await() throws Exception {
      return answer.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }
  }

  final VhostUserTransport transport;

  /** What {@link #start} accepts. */
  final FeatureBits features;

  final EventLoop owner =
      EventLoop.start("driver", LoopMode.EVENT, (source, fault) -> fault.printStackTrace());
  final AtomicInteger changes = new AtomicInteger();
  final List<String> broken = new CopyOnWriteArrayList<>();
  final CompletableFuture<IOException> lost = new CompletableFuture<>();
  List<DriverQueue> queues = List.of();

  Driving(VhostUserTransport transport) throws IOException {
    this(transport, RingFormat.SPLIT);
  }

  Driving(VhostUserTransport transport, RingFormat format) throws IOException {
    this.transport = transport;
    this.features = format.applyTo(FEATURES);
    transport.setListener(this);
  }

  @Override
  public void configurationChanged() {
    changes.incrementAndGet();
  }

  @Override
  public void queueBroken(int queue, PeerFault fault) {
    broken.add(queue + " " + fault.reason());
  }

  @Override
  public void lost(IOException reason) {
    lost.complete(reason);
  }

  /** The handler of a queue whose tokens are messages. */
  static UsedBufferHandler handler() {
    return new UsedBufferHandler() {
      @Override
      public void used(DriverQueue queue) throws PeerFault {
        take(queue);
      }

      @Override
      public void broken(DriverQueue queue, PeerFault fault) {
        for (Object token = queue.detachUnused(); token != null; token = queue.detachUnused()) {
          ((Message) token).answer.completeExceptionally(fault);
        }
      }
    };
  }

  private static boolean take(DriverQueue queue) throws PeerFault {
    boolean any = false;
    for (Object token = queue.get(); token != null; token = queue.get()) {
      ((Message) token).finish(queue.writtenLength());
      any = true;
    }
    return any;
  }

  /** Everything up to FEATURES_OK; what the device says to it. */
  int negotiate(FeatureBits features) throws IOException {
    transport.reset();
    assertEquals(0, transport.status());
    transport.writeStatus(DeviceStatus.ACKNOWLEDGE);
    transport.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
    transport.writeDriverFeatures(features);
    int done = DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK;
    transport.writeStatus(done);
    return transport.status();
  }

  void driverOk() throws IOException {
    transport.writeStatus(15);
    assertEquals(15, transport.status());
  }

  /** Everything up to DRIVER_OK, with so many queues that have callbacks. */
  void start(int count) throws IOException {
    List<QueueRequest> requests = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      requests.add(request("echo" + i));
    }
    start(requests);
  }

  QueueRequest request(String name) {
    return new QueueRequest(name, 16, 2, handler(), owner);
  }

  QueueRequest polled(String name) {
    return new QueueRequest(name, 16, 2, null, owner);
  }

  void start(List<QueueRequest> requests) throws IOException {
    assertEquals(11, negotiate(features));
    queues = transport.findQueues(requests);
    driverOk();
  }

  <T> T onOwner(Callable<T> task) throws Exception {
    return owner.call(task, PATIENCE);
  }

  Message submit(int queue, String text) throws Exception {
    Message message = new Message(text);
    DriverQueue to = queues.get(queue);
    onOwner(
        () -> {
          assertEquals(true, to.add(message.buffer, message));
          assertEquals(true, to.kick());
          return null;
        });
    return message;
  }

  /** There and back by callback. */
  void echo(int queue, String text) throws Exception {
    assertEquals(text, submit(queue, text).await());
  }

  /** There and back by polling. */
  void echoPolled(int queue, String text) throws Exception {
    Message message = submit(queue, text);
    Await.until(text + " comes back", () -> onOwner(() -> take(queues.get(queue))));
    assertEquals(text, message.await());
  }

  @Override
  public void close() {
    transport.close();
    owner.close();
  }
}
