// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.BiConsumer;

/**
 * The queues of an {@link InProcessTransport}: both sides of each are made, moved, reset and ended
 * here. One control thread at a time, but for what says otherwise.
 */
final class InProcessQueues {
  private static final Logger LOG = System.getLogger(InProcessQueues.class.getName());

  /** The alignment of the used ring on the legacy interface, in bytes. */
  private static final int LEGACY_ALIGN = 4096;

  private final InProcessOptions options;
  private final HostControl control;
  private final QueueOwner[] deviceOwners;

  /** Whom a used buffer notification wakes; null for nobody. */
  private final AtomicReferenceArray<QueueOwner> driverOwners;

  private final Doorbell doorbell;
  private final DriverMemory memory;
  private final BiConsumer<Integer, PeerFault> onBroken;
  private volatile DriverQueueSet set;

  /**
   * No queues yet.
   *
   * @param deviceOwners the owner of the device's side of each queue that there is
   * @param onBroken hears of a queue that broke, on its owner
   */
  InProcessQueues(
      InProcessOptions options,
      HostControl control,
      QueueOwner[] deviceOwners,
      Doorbell doorbell,
      DriverMemory memory,
      BiConsumer<Integer, PeerFault> onBroken) {
    this.options = options;
    this.control = control;
    this.deviceOwners = deviceOwners;
    this.driverOwners = new AtomicReferenceArray<>(deviceOwners.length);
    this.doorbell = doorbell;
    this.memory = memory;
    this.onBroken = onBroken;
    this.set = none();
  }

  private DriverQueueSet none() {
    return new DriverQueueSet(memory, this::notifyDevice, onBroken);
  }

  private void notifyDevice(DriverQueue queue) throws IOException {
    control.checkOpen();
    doorbell.ring(queue);
  }

  /** The driver side of those that there are now. Any thread. */
  DriverQueueSet set() {
    return set;
  }

  /** The device has used buffers. On its owner; takes no lock and does not wait. */
  void wakeDriver(int queue) {
    QueueOwner owner = driverOwners.get(queue); // pair [E]
    if (owner != null) {
      owner.wakeUp();
    }
  }

  /** Makes and starts what is asked for; all or nothing. */
  List<DriverQueue> find(List<QueueRequest> requests) throws IOException {
    if (!set.isEmpty()) {
      throw new IllegalStateException(options.name() + " has queues already");
    }
    control.checkOpen();
    int count = deviceOwners.length;
    if (requests.size() > count) {
      throw new IOException(options.name() + " has " + count + " queues, not " + requests.size());
    }
    doorbell.negotiated(control.call(DeviceHost::driverFeatures));
    List<DriverQueue> made = new ArrayList<>();
    boolean done = false;
    try {
      for (int i = 0; i < requests.size(); i++) {
        made.add(requests.get(i) == null ? null : make(i, requests.get(i)));
      }
      for (DriverQueue queue : made) {
        if (queue != null) {
          start(queue);
        }
      }
      done = true;
    } finally {
      if (!done) {
        takeBack(made);
      }
    }
    return made;
  }

  private DriverQueue make(int index, QueueRequest request) throws IOException {
    int most = control.call(device -> device.queueMaxSize(index));
    boolean own = request.maxSize() != 0 && !options.legacy();
    DriverQueue queue =
        set.add(
            request,
            new DriverQueueOptions(
                index,
                request.name(),
                own ? Math.min(most, request.maxSize()) : most,
                request.maxElements(),
                control.call(DeviceHost::driverFeatures),
                options.legacy() ? LEGACY_ALIGN : 0,
                options.bigEndian()));
    driverOwners.set(index, request.handler() == null ? null : request.owner());
    return queue;
  }

  private void start(DriverQueue queue) throws IOException {
    int index = queue.index();
    control.run(device -> device.startQueue(index, queue.layout(), deviceOwners[index], false));
    set.start(index);
  }

  private void takeBack(List<DriverQueue> made) {
    try {
      for (DriverQueue queue : made) {
        if (queue != null) {
          control.run(device -> device.resetQueue(queue.index()));
        }
      }
    } catch (IOException e) {
      LOG.log(Level.WARNING, "a queue of " + options.name() + " does not end", e);
    }
    delete();
  }

  /** Ends them all; while the device still runs one, their memory is not used again. */
  void delete() {
    DriverQueueSet old = set;
    set = none();
    for (int i = 0; i < driverOwners.length(); i++) {
      driverOwners.set(i, null);
    }
    try {
      if (control.isRunning()) {
        LOG.log(Level.WARNING, "{0} still runs queues that are deleted", options.name());
        stopCallbacks(old);
      } else {
        old.delete();
      }
    } catch (IOException stuck) {
      LOG.log(Level.WARNING, options.name() + ": an owner keeps its queue", stuck);
    }
  }

  private void stopCallbacks(DriverQueueSet of) throws IOException {
    of.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
    for (int i = 0; i < deviceOwners.length; i++) {
      if (of.queue(i) != null) {
        of.stop(i);
      }
    }
  }

  /** The owner of the driver's side of a queue. */
  QueueOwner owner(int queue) throws IOException {
    DriverQueueSet mine = set;
    existing(mine, queue);
    return mine.owner(queue);
  }

  /** Moves the driver's side of a queue. */
  void setOwner(int queue, QueueOwner owner) throws IOException {
    DriverQueueSet mine = set;
    existing(mine, queue);
    if (mine.hasCallback(queue)) {
      // Before the new owner looks at the ring for the first time: pair [E].
      driverOwners.set(queue, owner);
    }
    mine.setOwner(queue, owner);
  }

  /** Stops both sides of a queue. */
  void reset(int queue) throws IOException {
    DriverQueueSet mine = set;
    existing(mine, queue);
    mine.stop(queue);
    control.run(device -> device.resetQueue(queue));
    if (control.call(device -> device.isRunning(queue))) {
      throw new IOException(options.name() + " has not reset queue " + queue);
    }
  }

  /** Starts a queue that was reset, empty and of this size. */
  void enable(int queue, int newSize) throws IOException {
    DriverQueueSet mine = set;
    DriverQueue enabling = existing(mine, queue);
    if (newSize < 1 || newSize > enabling.maxSize()) {
      throw new IllegalArgumentException(
          "queue size " + newSize + " of at most " + enabling.maxSize());
    }
    if (control.call(device -> device.isRunning(queue))) {
      throw new IllegalStateException(enabling + " runs and was not reset");
    }
    DriverQueueSet.onOwner(mine.owner(queue), () -> enabling.reset(newSize));
    start(enabling);
  }

  private DriverQueue existing(DriverQueueSet mine, int queue) throws IOException {
    DriverQueue found = mine.queue(queue);
    if (found == null) {
      throw new IOException(options.name() + " has no queue " + queue + " in use");
    }
    return found;
  }
}
