// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DeviceQueue;
import java.util.concurrent.CompletableFuture;

/**
 * Runs one started queue on its owner: lets the handler work, publishes once a batch, notifies. The
 * one place that catches what a peer or a device does wrong.
 *
 * <pre>
 *   RUNNING --fault--> BROKEN
 *      |                  |
 *     stop               stop
 *      v                  v
 *   STOPPING ----------nothing in flight----------> STOPPED
 * </pre>
 */
final class QueueRunner implements EventSource {
  private enum State {
    RUNNING,
    BROKEN,
    STOPPING,
    STOPPED
  }

  private final DeviceHost host;
  private final DeviceQueue queue;
  private final QueueOwner owner;
  private final HostListener listener;
  private final boolean polling;
  private final QueueHandler handler;
  private State state = State.RUNNING;

  /** Waits for {@link QueueHandler#mayNotify}. */
  private boolean notificationDue;

  /** Also read by the control thread. */
  private volatile boolean faulted;

  private CompletableFuture<Integer> stopped;

  QueueRunner(
      DeviceHost host,
      DeviceQueue queue,
      QueueOwner owner,
      HostListener listener,
      boolean polling) {
    this.host = host;
    this.queue = queue;
    this.owner = owner;
    this.listener = listener;
    this.polling = polling;
    this.handler = host.device().startQueue(queue, owner);
  }

  @Override
  public boolean poll() {
    long before = queue.counters().chains();
    boolean worked = false;
    try {
      worked = handler.poll();
      if (state == State.RUNNING) {
        handler.available(queue);
      }
      notificationDue |= queue.publish();
      if (notificationDue && handler.mayNotify()) {
        notifyDriver();
      }
    } catch (PeerFault fault) {
      broken(fault, null);
    } catch (InternalError error) {
      // The JVM's word for SIGBUS: the file behind the memory was truncated under the mapping.
      broken(new PeerFault(FaultReason.MEMORY_VANISHED, queue.index()), null);
    } catch (RuntimeException | Error bug) {
      broken(new PeerFault(FaultReason.DEVICE_ERROR, queue.index()), bug);
    }
    if (state == State.STOPPING && queue.inFlight() == 0) {
      finish();
    }
    return worked || queue.counters().chains() != before;
  }

  private void notifyDriver() {
    notificationDue = false;
    listener.usedBuffers(queue.index());
  }

  @Override
  public boolean arm() {
    try {
      if (!handler.arm() || notificationDue) {
        return false;
      }
      if (state != State.RUNNING) {
        return true;
      }
      if (!queue.isDrained()) {
        // The device has left buffers because it is busy: its completions wake the owner. When it
        // has nothing left to complete, nothing would.
        return queue.inFlight() > 0;
      }
      // Without a descriptor to wake the owner, the ring is polled.
      return queue.enableNotifications() && !polling;
    } catch (InternalError error) {
      broken(new PeerFault(FaultReason.MEMORY_VANISHED, queue.index()), null);
      return true;
    } catch (RuntimeException | Error bug) {
      broken(new PeerFault(FaultReason.DEVICE_ERROR, queue.index()), bug);
      return true;
    }
  }

  @Override
  public void disarm() {
    if (state != State.RUNNING) {
      return;
    }
    try {
      queue.disableNotifications();
    } catch (InternalError error) {
      broken(new PeerFault(FaultReason.MEMORY_VANISHED, queue.index()), null);
    }
  }

  /**
   * Takes no more buffers, waits for those in flight, and ends. The future gets where a later
   * session goes on, as {@link DeviceQueue#nextIndex}. On the owner.
   */
  void stop(CompletableFuture<Integer> done) {
    stopped = done;
    if (state == State.STOPPED) {
      done.complete(queue.nextIndex());
      return;
    }
    state = State.STOPPING;
    poll();
  }

  /** On the owner. */
  void growMemory(GuestMemory larger) {
    queue.growMemory(larger);
  }

  boolean isBroken() {
    return faulted;
  }

  private void finish() {
    state = State.STOPPED;
    if (notificationDue) {
      notifyDriver(); // rather too early than never
    }
    try {
      if (queue.isOpen()) {
        // The driver may sleep now: from here on it must ask (or be asked) again.
        queue.enableNotifications();
      }
    } catch (InternalError error) {
      // The memory is gone, and so is the queue.
    }
    queue.close();
    owner.removeSource(this);
    try {
      handler.stopped();
    } catch (RuntimeException | Error bug) {
      host.queueFaulted(queue.index(), new PeerFault(FaultReason.DEVICE_ERROR, queue.index()), bug);
    }
    stopped.complete(queue.nextIndex());
  }

  private void broken(PeerFault fault, Throwable bug) {
    queue.close();
    notificationDue = false;
    if (state == State.RUNNING) {
      state = State.BROKEN;
      faulted = true;
      host.queueFaulted(queue.index(), fault, bug);
      listener.queueBroken(queue.index(), fault);
    }
  }
}
