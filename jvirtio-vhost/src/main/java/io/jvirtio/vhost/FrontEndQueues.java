// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;

/**
 * The queues of a transport: the driver's side of each, and its vring on the other side.
 *
 * <p>Control plane, under its lock; {@link #breakAll}, {@link #breakOne} and {@link #release} from
 * any thread.
 */
final class FrontEndQueues {
  private static final Logger LOG = System.getLogger(FrontEndQueues.class.getName());

  private final BackEndView view;
  private final FrontEndMonitor monitor;
  private final DriverQueueSet queues;
  private final int maxSize;
  // By index, replaced as a whole: the owners look up their kick descriptors here.
  private volatile FrontEndVring[] vrings = new FrontEndVring[0];
  private boolean memoryInUse;

  FrontEndQueues(
      DriverMemory memory,
      BackEndView view,
      FrontEndMonitor monitor,
      int maxSize,
      BiConsumer<Integer, PeerFault> onBroken) {
    this.view = view;
    this.monitor = monitor;
    this.maxSize = maxSize;
    this.queues =
        new DriverQueueSet(memory, queue -> vrings[queue.index()].notifyDevice(), onBroken);
  }

  boolean isEmpty() {
    return queues.isEmpty();
  }

  /** Makes queues, of which the back-end knows everything when this returns but runs none. */
  List<DriverQueue> make(List<QueueRequest> requests, FeatureBits features) throws IOException {
    boolean done = false;
    try {
      DriverQueue[] made = new DriverQueue[requests.size()];
      for (int i = 0; i < made.length; i++) {
        QueueRequest request = requests.get(i);
        made[i] = request == null ? null : makeOne(i, request, features);
      }
      FrontEndVring[] byIndex = new FrontEndVring[made.length];
      vrings = byIndex;
      view.share();
      for (DriverQueue queue : made) {
        if (queue != null) {
          FrontEndVring vring = makeVring(queue);
          byIndex[queue.index()] = vring;
          view.add(vring);
        }
      }
      done = true;
      return Arrays.asList(made);
    } finally {
      if (!done) {
        free();
      }
    }
  }

  private DriverQueue makeOne(int index, QueueRequest request, FeatureBits features)
      throws IOException {
    int size = request.maxSize() == 0 ? maxSize : Math.min(maxSize, request.maxSize());
    return queues.add(
        request,
        new DriverQueueOptions(
            index, request.name(), size, request.maxElements(), features, 0, false));
  }

  private FrontEndVring makeVring(DriverQueue queue) throws IOException {
    boolean hasCallback = queues.hasCallback(queue.index());
    if (!hasCallback) {
      queue.disableCallback();
    }
    return FrontEndVring.create(queue, queues.owner(queue.index()), hasCallback, monitor);
  }

  /** Starts all vrings and callbacks. */
  void startAll() throws IOException {
    for (FrontEndVring vring : view.vrings()) {
      view.start(vring);
      queues.start(vring.index());
    }
  }

  /** Stops the vring and the callback of one queue. */
  void stop(int index) throws IOException {
    view.stop(vring(index));
    queues.stop(index);
  }

  /**
   * Makes one queue empty and whole, and tells the back-end of it.
   *
   * @param start whether it runs at once
   * @throws IllegalStateException when it runs already, or buffers are in flight
   */
  void restart(int index, int newSize, boolean start) throws IOException {
    FrontEndVring vring = vring(index);
    if (vring.isStarted()) {
      throw new IllegalStateException("queue " + index + " was not reset");
    }
    vring.queue().reset(newSize);
    if (!queues.hasCallback(index)) {
      vring.queue().disableCallback();
    }
    view.reconfigure(vring);
    if (start) {
      view.start(vring);
      queues.start(index);
    }
  }

  /** Who owns one queue. */
  QueueOwner owner(int index) {
    vring(index);
    return queues.owner(index);
  }

  /** Moves one queue, and who is woken for it. */
  void setOwner(int index, QueueOwner owner) throws IOException {
    vring(index).moveTo(owner);
    queues.setOwner(index, owner);
  }

  private FrontEndVring vring(int index) {
    FrontEndVring[] all = vrings;
    if (index < 0 || index >= all.length || all[index] == null || queues.queue(index) == null) {
      throw new IllegalArgumentException("no queue " + index);
    }
    return all[index];
  }

  /** Waits until every owner has come by. */
  void synchronize() throws IOException {
    queues.synchronize();
  }

  /** Breaks all queues. */
  void breakAll(PeerFault fault) {
    queues.breakAll(fault);
  }

  /** Breaks one queue, if it is there. */
  void breakOne(int index, PeerFault fault) {
    queues.breakQueue(index, fault);
  }

  /** The back-end has gone: no owner is held up by it. */
  void release() {
    view.vrings().forEach(FrontEndVring::release);
  }

  /** Stops all queues and frees their memory, whether or not the back-end still lives. */
  void free() {
    try {
      view.stopAll();
    } catch (IOException e) {
      LOG.log(Level.DEBUG, "queues not stopped: {0}", e.getMessage());
    }
    try {
      queues.delete();
    } catch (IOException e) {
      // Its owner may be in the midst of the ring.
      memoryInUse = true;
      LOG.log(Level.ERROR, "memory stays mapped: {0}", e.getMessage());
    }
    view.takeVrings().forEach(FrontEndVring::close);
  }

  /** Whether an owner did not let go of a queue, so that memory must not be unmapped. */
  boolean isMemoryInUse() {
    return memoryInUse;
  }
}
