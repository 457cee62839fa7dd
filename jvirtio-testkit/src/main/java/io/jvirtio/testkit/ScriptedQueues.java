// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.queue.QueueNotifier;
import java.io.IOException;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.BiConsumer;

/** The queues of a {@link ScriptedTransport}, with the device side of each. */
final class ScriptedQueues {
  private static final int MAX_QUEUES = 1024;
  private static final int LEGACY_ALIGN = 4096;

  private final ScriptedTransport transport;
  private final DriverQueueSet set;
  private final ScriptedDevice[] devices = new ScriptedDevice[MAX_QUEUES];
  private final AtomicIntegerArray notifications = new AtomicIntegerArray(MAX_QUEUES);
  private int[] maxSizes = {256};

  ScriptedQueues(
      ScriptedTransport transport,
      QueueNotifier notifier,
      BiConsumer<Integer, PeerFault> onBroken) {
    this.transport = transport;
    this.set = new DriverQueueSet(transport.memory(), notifier, onBroken);
  }

  /** How many there are, and the largest size of each. */
  void maxSizes(int[] sizes) {
    maxSizes = sizes.clone();
  }

  int count() {
    return maxSizes.length;
  }

  /** The largest size of a queue; 0 when it is not there. */
  int maxSize(int queue) {
    return queue < maxSizes.length ? maxSizes[queue] : 0;
  }

  /** The driver side of them. */
  DriverQueueSet set() {
    return set;
  }

  /** The device side of one, or null. */
  ScriptedDevice device(int queue) {
    return devices[queue];
  }

  int notifications(int queue) {
    return notifications.get(queue);
  }

  void count(int queue) {
    notifications.incrementAndGet(queue);
  }

  /** Makes and starts what is asked for; all or nothing. */
  List<DriverQueue> find(List<QueueRequest> requests) throws IOException {
    DriverQueue[] queues = new DriverQueue[requests.size()];
    try {
      for (int i = 0; i < queues.length; i++) {
        if (requests.get(i) != null) {
          queues[i] = make(i, requests.get(i));
        }
      }
      for (DriverQueue queue : queues) {
        if (queue != null) {
          set.start(queue.index());
        }
      }
    } catch (IOException e) {
      delete();
      throw e;
    }
    // Not List.of: elements may be null.
    return Arrays.asList(queues);
  }

  private DriverQueue make(int index, QueueRequest request) throws IOException {
    int most = maxSize(index);
    if (most == 0) {
      throw new IOException(transport.busName() + " has no queue " + index);
    }
    boolean legacy = transport.isLegacy();
    boolean asOffered = legacy || request.maxSize() == 0;
    int size = asOffered ? most : Math.min(request.maxSize(), Integer.highestOneBit(most));
    DriverQueue queue =
        set.add(
            request,
            new DriverQueueOptions(
                index,
                request.name(),
                legacy ? size : Integer.highestOneBit(size),
                request.maxElements(),
                transport.acceptedFeatures(),
                legacy ? LEGACY_ALIGN : 0,
                transport.isBigEndian()));
    connect(queue);
    return queue;
  }

  private void connect(DriverQueue queue) {
    devices[queue.index()] =
        new ScriptedDevice(
            transport.memory(),
            queue.layout(),
            transport.acceptedFeatures(),
            transport.isBigEndian() ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN);
  }

  /** The device forgets one. */
  void reset(int queue) throws IOException {
    set.stop(queue);
    devices[queue] = null;
  }

  /** The device has one again. */
  void enable(int queue, int newSize) throws IOException {
    set.queue(queue).reset(newSize);
    connect(set.queue(queue));
    set.start(queue);
  }

  void delete() {
    Arrays.fill(devices, null);
    try {
      set.delete();
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
