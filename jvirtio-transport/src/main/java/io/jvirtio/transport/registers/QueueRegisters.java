// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.transport.registers.DeviceRegisters.Area;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.IntFunction;

/** The queues of {@link DeviceRegisters}, which says what the methods do. Thread-safe. */
final class QueueRegisters {
  /**
   * What a driver has written about one queue. Changed under the lock; read without, for a driver
   * that looks whether a reset is done, during which the lock is held.
   */
  private static final class Queue {
    volatile int size;
    volatile long descriptorArea;
    volatile long driverArea;
    volatile long deviceArea;
    volatile boolean enabled;
    volatile long pfn;

    /** What it was enabled with. */
    QueueLayout layout;

    /** Runs again once its rings may be accessed. */
    boolean held;
  }

  private final DeviceCore core;
  private final DeviceHost host;
  private final QueueOwner[] owners;
  private final Queue[] queues;

  /** By queue, whether it is being reset. */
  private final AtomicIntegerArray resets;

  private GuestMemory memory = GuestMemory.EMPTY;
  private boolean mayAccess = true;
  private volatile boolean accessWanted = true;

  QueueRegisters(DeviceCore core, IntFunction<? extends QueueOwner> owners) {
    this.core = core;
    this.host = core.host;
    this.owners = new QueueOwner[host.queueCount()];
    this.queues = new Queue[host.queueCount()];
    this.resets = new AtomicIntegerArray(queues.length);
    for (int i = 0; i < queues.length; i++) {
      this.owners[i] = owners.apply(i);
      queues[i] = new Queue();
      forget(i);
    }
  }

  private void forget(int queue) {
    Queue q = queues[queue];
    q.size = host.device().queueMaxSize(queue);
    q.descriptorArea = 0;
    q.driverArea = 0;
    q.deviceArea = 0;
    q.enabled = false;
    q.pfn = 0;
    q.layout = null;
    q.held = false;
  }

  /** The device was reset. Under the lock. */
  void forgetAll() {
    for (int i = 0; i < queues.length; i++) {
      forget(i);
      resets.set(i, 0);
    }
  }

  /**
   * Whether a queue is being reset, or all are: who waited for that would meddle with what comes
   * after.
   */
  private boolean isBusy(int queue) {
    return core.resetting || resets.get(queue) != 0;
  }

  int count() {
    return queues.length;
  }

  boolean has(int queue) {
    return queue >= 0 && queue < queues.length;
  }

  int maxSize(int queue) {
    return has(queue) ? host.device().queueMaxSize(queue) : 0;
  }

  int size(int queue) {
    return has(queue) ? queues[queue].size : 0;
  }

  void writeSize(int queue, int size) {
    configure(queue, q -> q.size = size);
  }

  long address(int queue, Area area) {
    if (!has(queue)) {
      return 0;
    }
    return switch (area) {
      case DESCRIPTOR -> queues[queue].descriptorArea;
      case DRIVER -> queues[queue].driverArea;
      case DEVICE -> queues[queue].deviceArea;
    };
  }

  void writeAddress(int queue, Area area, long address) {
    configure(
        queue,
        q -> {
          switch (area) {
            case DESCRIPTOR -> q.descriptorArea = address;
            case DRIVER -> q.driverArea = address;
            case DEVICE -> q.deviceArea = address;
          }
        });
  }

  private interface Change {
    void on(Queue queue);
  }

  private void configure(int queue, Change change) {
    if (!has(queue) || isBusy(queue)) {
      core.counters.ignoredWrite();
      return;
    }
    synchronized (core.lock) {
      if (queues[queue].enabled || isBusy(queue)) {
        core.counters.ignoredWrite();
        return;
      }
      change.on(queues[queue]);
    }
  }

  boolean isEnabled(int queue) {
    return has(queue) && queues[queue].enabled;
  }

  void enable(int queue) {
    configure(
        queue,
        q -> {
          if (core.closed) {
            core.counters.ignoredWrite();
            return;
          }
          q.enabled = true;
          start(queue, q.size, q.descriptorArea, q.driverArea, q.deviceArea);
        });
  }

  private void start(int queue, int size, long descriptors, long driver, long device) {
    boolean packed = host.driverFeatures().has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    QueueLayout layout =
        new QueueLayout(size, descriptors, driver, device, packed ? QueueLayout.PACKED_START : 0);
    queues[queue].layout = layout;
    core.guarded("queue " + queue, () -> host.startQueue(queue, layout, owners[queue], false));
  }

  void reset(int queue) {
    boolean begins =
        has(queue) && !core.resetting && !core.closed && resets.compareAndSet(queue, 0, 1);
    if (!begins) {
      core.counters.ignoredWrite();
    } else if (core.isPatient()) {
      resetNow(queue);
    } else {
      core.await(core.start(() -> resetNow(queue)));
    }
  }

  private void resetNow(int queue) {
    synchronized (core.lock) {
      if (resets.get(queue) != 0) { // else the device was, and this may be its next driver's queue
        core.guarded("reset of queue " + queue, () -> host.resetQueue(queue));
        forget(queue);
        resets.set(queue, 0);
      }
    }
  }

  boolean isResetting(int queue) {
    return has(queue) && resets.get(queue) != 0;
  }

  long pfn(int queue) {
    return has(queue) ? queues[queue].pfn : 0;
  }

  void writePfn(int queue, long pfn, long pageSize, long align) {
    if (pfn == 0) {
      reset(queue);
      return;
    }
    configure(
        queue,
        q -> {
          if (Long.bitCount(pageSize) != 1 || Long.bitCount(align) != 1 || core.closed) {
            core.counters.ignoredWrite();
            return;
          }
          q.pfn = pfn;
          q.enabled = true;
          long descriptors = pfn * pageSize;
          long driver = descriptors + SplitRing.descSize(q.size);
          long device = driver + SplitRing.availSize(q.size) + align - 1 & -align;
          start(queue, q.size, descriptors, driver, device);
        });
  }

  void notified(int value) {
    int queue = host.notified(value);
    if (queue >= 0) {
      owners[queue].wakeUp();
    } else {
      core.counters.ignoredNotification();
    }
  }

  // --- memory ------------------------------------------------------------------------------

  boolean setMemory(GuestMemory newMemory) {
    synchronized (core.lock) {
      memory = newMemory;
      if (mayAccess) {
        boolean healthy = isHealthy();
        for (int i = 0; healthy && i < queues.length; i++) {
          if (queues[i].layout != null && !reaches(queues[i].layout)) {
            hold(i);
          }
        }
        replaceMemory(newMemory);
      } else if (host.memory() != GuestMemory.EMPTY) {
        replaceMemory(GuestMemory.EMPTY); // a queue held on to it when that was to be taken away
      }
      boolean replaced = host.memory() == (mayAccess ? newMemory : GuestMemory.EMPTY);
      if (mayAccess && replaced) {
        resume();
      }
      return replaced;
    }
  }

  private void replaceMemory(GuestMemory by) {
    core.guarded("memory", () -> host.setMemory(by, queue -> queues[queue].layout));
  }

  void growMemory(GuestMemory larger) {
    synchronized (core.lock) {
      memory = larger;
      if (mayAccess) {
        core.guarded("memory", () -> host.growMemory(larger));
        resume();
      }
    }
  }

  void setMayAccess(boolean may) {
    accessWanted = may;
    if (!core.resetting) {
      applyAccess();
    }
  }

  /** Does what {@link #setMayAccess} has asked for. */
  void applyAccess() {
    synchronized (core.lock) {
      boolean may = accessWanted;
      if (may == mayAccess) {
        return;
      }
      mayAccess = may;
      boolean healthy = isHealthy();
      for (int i = 0; !may && healthy && i < queues.length; i++) {
        hold(i);
      }
      replaceMemory(may ? memory : GuestMemory.EMPTY);
      if (may) {
        resume();
      }
    }
  }

  private boolean isHealthy() {
    return (host.status() & DeviceStatus.DEVICE_NEEDS_RESET) == 0;
  }

  /** Whether the rings of a queue are in memory: firmware moves memory about while queues run. */
  private boolean reaches(QueueLayout layout) {
    boolean packed = host.driverFeatures().has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    int size = layout.size();
    try {
      memory.contiguous(layout.descriptorArea(), SplitRing.descSize(size)); // of both formats
      memory.contiguous(layout.driverArea(), packed ? 4 : SplitRing.availSize(size));
      memory.contiguous(layout.deviceArea(), packed ? 4 : SplitRing.usedSize(size));
      return true;
    } catch (PeerFault elsewhere) {
      return false;
    }
  }

  /** Stops a queue that runs, to go on where it stopped. */
  private void hold(int queue) {
    core.guarded(
        "halt of queue " + queue,
        () -> {
          if (host.isRunning(queue)) {
            QueueLayout was = queues[queue].layout;
            queues[queue].layout =
                new QueueLayout(
                    was.size(),
                    was.descriptorArea(),
                    was.driverArea(),
                    was.deviceArea(),
                    host.stopQueue(queue));
            queues[queue].held = true;
          }
        });
  }

  /** Starts again what is held, and has its rings in memory. */
  private void resume() {
    for (int i = 0; i < queues.length; i++) {
      int queue = i;
      QueueLayout layout = queues[queue].layout;
      if (queues[queue].held && reaches(layout)) {
        queues[queue].held = false;
        core.guarded("queue " + queue, () -> host.startQueue(queue, layout, owners[queue], false));
      }
    }
  }
}
