// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * Keeps a number of buffers in flight on one queue until so many have come back, each with a number
 * of its own that must come back too. On the queue's owner, but for the volatile fields.
 */
final class EchoDriver implements UsedBufferHandler {
  static final long NONE = -1;

  private static final class Slot {
    final MemorySegment request;
    final MemorySegment reply;
    final DriverBuffer buffer;
    long number = NONE;

    Slot(DriverTransport transport) throws IOException {
      request = transport.memory().allocate(8, 8);
      reply = transport.memory().allocate(8, 8);
      buffer =
          new DriverBuffer(transport.memory(), 3)
              .readable(request.asSlice(0, 4))
              .readable(request.asSlice(4, 4))
              .writable(reply);
    }
  }

  private final int depth;
  private final List<Slot> idle = new ArrayList<>();
  private long total;
  private long added;
  private DriverQueue queue;
  volatile Shake shake = Shake.NONE;
  volatile long completed;
  volatile PeerFault broken;
  volatile String mismatch;

  EchoDriver(DriverTransport transport, int depth) throws IOException {
    this.depth = depth;
    for (int i = 0; i < depth; i++) {
      idle.add(new Slot(transport));
    }
  }

  /** The request for a queue that this driver handles. */
  QueueRequest request(QueueOwner owner) {
    return new QueueRequest("echo", 0, 3, this, owner);
  }

  /** Up to FEATURES_OK, or its counterpart on the legacy interface. */
  static void negotiate(DriverTransport transport, FeatureBits accepted) throws IOException {
    transport.writeStatus(DeviceStatus.ACKNOWLEDGE);
    transport.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
    transport.writeDriverFeatures(accepted);
    if (!transport.isLegacy()) {
      transport.writeStatus(transport.status() | DeviceStatus.FEATURES_OK);
      if ((transport.status() & DeviceStatus.FEATURES_OK) == 0) {
        throw new IOException("features refused");
      }
    }
  }

  /** All that the device offers and accepts. */
  static void negotiate(DriverTransport transport) throws IOException {
    negotiate(transport, transport.deviceFeatures().without(EchoDevice.REFUSED_FEATURE));
  }

  static void driverOk(DriverTransport transport) throws IOException {
    transport.writeStatus(transport.status() | DeviceStatus.DRIVER_OK);
  }

  /** Sends so many more buffers. */
  void send(DriverQueue on, long count) {
    queue = on;
    total += count;
    try {
      fill();
    } catch (PeerFault fault) {
      // The runner tells.
    }
  }

  boolean isDone() {
    return completed == total;
  }

  int inFlight() {
    return depth - idle.size();
  }

  @Override
  public void used(DriverQueue used) throws PeerFault {
    queue = used;
    take();
    fill();
  }

  /** Takes what has come back, and adds nothing. */
  void take() throws PeerFault {
    long more = 0;
    for (Slot slot = (Slot) queue.get(); slot != null; slot = (Slot) queue.get()) {
      long answer = slot.reply.get(ValueLayout.JAVA_LONG, 0);
      if (answer != slot.number || queue.writtenLength() != 8) {
        mismatch = slot.number + " came back as " + answer + ", " + queue.writtenLength();
      }
      slot.number = NONE;
      idle.add(slot);
      more++;
      shake.pause();
    }
    completed += more;
  }

  private void fill() throws PeerFault {
    while (added < total && !idle.isEmpty()) {
      Slot slot = idle.getLast();
      slot.request.set(ValueLayout.JAVA_LONG, 0, added);
      slot.reply.set(ValueLayout.JAVA_LONG, 0, NONE);
      slot.number = added;
      if (!queue.add(slot.buffer, slot)) {
        slot.number = NONE;
        break;
      }
      idle.removeLast();
      added++;
    }
    queue.kick();
  }

  /** One that the device has not used is sent again; it keeps its number. */
  void again(DriverQueue to, Object token) {
    queue = to;
    Slot slot = (Slot) token;
    try {
      if (to.add(slot.buffer, slot)) {
        to.kick();
      } else {
        giveUp(token);
      }
    } catch (PeerFault fault) {
      // The runner tells.
    }
  }

  /** One that the device has not used counts as never sent. */
  void giveUp(Object token) {
    Slot slot = (Slot) token;
    slot.number = NONE;
    idle.add(slot);
    total--;
    added--;
  }

  /** Takes back what the device will not use; it counts as never sent. */
  int detach(DriverQueue from) {
    int detached = 0;
    for (Slot slot = (Slot) from.detachUnused(); slot != null; slot = (Slot) from.detachUnused()) {
      slot.number = NONE;
      idle.add(slot);
      detached++;
    }
    added -= detached;
    total = added;
    return detached;
  }

  @Override
  public void broken(DriverQueue of, PeerFault fault) {
    broken = fault;
  }
}
