// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.queue.QueueNotifier;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** The real driver side of one queue, and a scripted device on the other. */
final class QueuePair implements AutoCloseable {
  static final int MAX_ELEMENTS = 16;
  static final int ELEMENT = 16;

  final DriverSession session;
  final TestDriverMemory memory = new TestDriverMemory();
  final DriverQueue queue;
  final MemorySegment data;
  final DriverBuffer buffer;
  ScriptedDevice device;
  int notified;
  QueueNotifier notifier = queue -> notified++;

  QueuePair(DriverSession session, int size) {
    this(session, size, MAX_ELEMENTS);
  }

  QueuePair(DriverSession session, int size, int maxElements) {
    this.session = session;
    try {
      queue =
          DriverQueue.create(
              options(session, size, maxElements, session.isLegacy() ? 4096 : 0),
              memory,
              it -> notifier.notifyDevice(it));
      data = memory.allocate(4096, 4096);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    buffer = new DriverBuffer(memory, 64);
    connect();
  }

  static DriverQueueOptions options(
      DriverSession session, int size, int maxElements, int legacyAlign) {
    return new DriverQueueOptions(
        3,
        "test",
        size,
        maxElements,
        session.features(),
        legacyAlign,
        session == DriverSession.LEGACY_BIG_ENDIAN);
  }

  /** A device that sees the queue for the first time. */
  void connect() {
    device = new ScriptedDevice(memory, queue.layout(), session.features(), session.order());
  }

  /** A device that goes on where another one has stopped. */
  void connect(int start) {
    device = new ScriptedDevice(memory, layout(start), session.features(), session.order());
  }

  QueueLayout layout(int start) {
    QueueLayout now = queue.layout();
    return new QueueLayout(
        now.size(), now.descriptorArea(), now.driverArea(), now.deviceArea(), start);
  }

  /** Adds a buffer of so many elements, each {@link #ELEMENT} bytes long. */
  boolean add(Object token, int readable, int writable) throws PeerFault {
    buffer.clear();
    for (int i = 0; i < readable + writable; i++) {
      MemorySegment element = data.asSlice((long) ELEMENT * i, ELEMENT);
      if (i < readable) {
        buffer.readable(element);
      } else {
        buffer.writable(element);
      }
    }
    return queue.add(buffer, token);
  }

  /** Adds and publishes a buffer with one readable and one writable element. */
  void submit(Object token) throws PeerFault {
    if (!add(token, 1, 1)) {
      throw new IllegalStateException("the queue is full");
    }
    queue.kick();
  }

  /** One readable element there and back. */
  void submitOne(Object token) throws PeerFault {
    if (!add(token, 1, 0)) {
      throw new IllegalStateException("the queue is full");
    }
    queue.kick();
    if (useAll() != 1 || queue.get() != token) {
      throw new AssertionError(token + " did not come back");
    }
  }

  /** Takes what is available and uses it, with nothing written; says how much it was. */
  int useAll() {
    int count = 0;
    for (ScriptedDevice.Buffer next = device.take(); next != null; next = device.take()) {
      device.put(next.head(), 0);
      count++;
    }
    device.publish();
    return count;
  }

  /** Takes what the device has used: the tokens. */
  List<Object> getAll() throws PeerFault {
    List<Object> all = new ArrayList<>();
    for (Object token = queue.get(); token != null; token = queue.get()) {
      all.add(token);
    }
    return all;
  }

  List<Object> detachAll() {
    List<Object> all = new ArrayList<>();
    for (Object token = queue.detachUnused(); token != null; token = queue.detachUnused()) {
      all.add(token);
    }
    return all;
  }

  @Override
  public void close() {
    memory.close();
  }
}
