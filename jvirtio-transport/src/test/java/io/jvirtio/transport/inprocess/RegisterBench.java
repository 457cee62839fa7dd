// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.transport.RegisterTransport;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/** An echo device behind registers, and a driver for each of its queues. */
final class RegisterBench implements AutoCloseable {
  /** A type that nobody has defined, so that it may have a legacy interface. */
  static final int DEVICE_ID = 0x3e;

  final EchoDevice device;
  final RegisterPair pair;
  final RegisterTransport transport;
  final Recorder recorder = new Recorder();
  final List<EchoDriver> drivers = new ArrayList<>();
  final List<DriverQueue> queues = new ArrayList<>();
  final QueueOwner owner;

  /** Both sides on the calling thread. */
  static RegisterBench inline(RegisterKind kind, int queues) throws IOException {
    InlineOwner owner = new InlineOwner();
    return new RegisterBench(queues, owner, owner, kind);
  }

  static RegisterBench inline(RegisterKind kind) throws IOException {
    return inline(kind, 1);
  }

  RegisterBench(int queues, QueueOwner deviceOwner, QueueOwner owner, RegisterKind kind)
      throws IOException {
    this.owner = owner;
    device = new EchoDevice(queues, DEVICE_ID);
    pair = kind.plug(device, deviceOwner, owner instanceof InlineOwner);
    transport = pair.transport();
    transport.setListener(recorder);
  }

  /** From whatever status to a live device, with everything accepted that can be. */
  RegisterBench start(int depth) throws IOException {
    return start(depth, FeatureBits.NONE);
  }

  RegisterBench start(int depth, FeatureBits without) throws IOException {
    transport.reset();
    FeatureBits offered = transport.deviceFeatures();
    EchoDriver.negotiate(transport, offered.without(EchoDevice.REFUSED_FEATURE).minus(without));
    drivers.clear();
    queues.clear();
    for (int i = 0; i < transport.queueCount(); i++) {
      drivers.add(new EchoDriver(transport, depth));
    }
    queues.addAll(transport.findQueues(drivers.stream().map(d -> d.request(owner)).toList()));
    EchoDriver.driverOk(transport);
    return this;
  }

  EchoDriver driver() {
    return drivers.getFirst();
  }

  DriverQueue queue() {
    return queues.getFirst();
  }

  void onOwner(Runnable task) throws IOException {
    DriverQueueSet.onOwner(owner, task);
  }

  void send(long count) throws IOException {
    for (int i = 0; i < queues.size(); i++) {
      DriverQueue queue = queues.get(i);
      EchoDriver driver = drivers.get(i);
      onOwner(() -> driver.send(queue, count));
    }
  }

  void sendAndAwait(long count) throws IOException {
    send(count);
    awaitAll();
  }

  void awaitAll() {
    until("all buffers back", () -> drivers.stream().allMatch(EchoDriver::isDone));
    for (EchoDriver driver : drivers) {
      assertNull(driver.mismatch);
      assertNull(driver.broken);
    }
    assertEquals(0, pair.host().faults());
  }

  void until(String what, BooleanSupplier condition) {
    Bench.await(what, owner, condition);
  }

  @Override
  public void close() {
    transport.close();
  }
}
