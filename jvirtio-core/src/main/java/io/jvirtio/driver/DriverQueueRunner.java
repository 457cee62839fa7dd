// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.device.EventSource;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;

/**
 * Runs the callback of one queue on its owner: the one place that catches what the device or the
 * driver does wrong.
 */
final class DriverQueueRunner implements EventSource {
  private static final Logger LOG = System.getLogger(DriverQueueRunner.class.getName());

  /** How often an owner that never sleeps settles. */
  private static final int SETTLE_MASK = 15;

  private final DriverQueue queue;
  private final UsedBufferHandler handler;
  private final DriverQueueSet set;
  private boolean told;
  private int idlePolls;

  DriverQueueRunner(DriverQueue queue, UsedBufferHandler handler, DriverQueueSet set) {
    this.queue = queue;
    this.handler = handler;
    this.set = set;
  }

  @Override
  public boolean poll() {
    if (told) {
      return false;
    }
    try {
      if (queue.isBroken()) {
        throw queue.fault();
      }
      boolean worked = queue.hasUsed();
      if (worked) {
        queue.callbackRuns();
        handler.used(queue);
      }
      worked |= handler.poll(queue);
      if (!worked && (++idlePolls & SETTLE_MASK) == 0) {
        settle();
      }
      return worked;
    } catch (PeerFault fault) {
      broken(fault);
    } catch (InternalError error) {
      // The JVM's word for SIGBUS: the file behind the memory was truncated under the mapping.
      broken(new PeerFault(FaultReason.MEMORY_VANISHED, queue.index()));
    } catch (RuntimeException | Error bug) {
      failed(bug);
    }
    return true;
  }

  @Override
  public boolean arm() {
    if (told) {
      return true;
    }
    try {
      // A queue that another thread has just broken is handled by the next poll.
      boolean armed = !queue.isBroken() && handler.arm() && queue.enableCallback();
      settle();
      return armed;
    } catch (InternalError error) {
      broken(new PeerFault(FaultReason.MEMORY_VANISHED, queue.index()));
    } catch (RuntimeException | Error bug) {
      failed(bug);
    }
    return true;
  }

  @Override
  public void disarm() {
    if (told) {
      return;
    }
    try {
      queue.disableCallback();
      settle();
    } catch (InternalError error) {
      broken(new PeerFault(FaultReason.MEMORY_VANISHED, queue.index()));
    }
  }

  /**
   * In code that the JIT has compiled, the JVM's word for SIGBUS comes late: where the thread next
   * heeds the JVM. The return from a native call is such a place, and this one is inside our try.
   * Some nanoseconds, where the owner has nothing to do.
   */
  private void settle() {
    Thread.holdsLock(this);
  }

  private void failed(Throwable bug) {
    LOG.log(Level.ERROR, queue + ": the driver failed", bug);
    broken(new PeerFault(FaultReason.DRIVER_ERROR, queue.index()));
  }

  private void broken(PeerFault fault) {
    told = true;
    queue.breakQueue(fault);
    try {
      handler.broken(queue, queue.fault());
    } catch (RuntimeException | Error bug) {
      LOG.log(Level.ERROR, queue + ": the driver failed when its queue broke", bug);
    }
    set.queueBroken(queue.index(), queue.fault());
  }

  /** The queue was reset and starts anew. On the owner. */
  void restarted() {
    told = false;
  }
}
