// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * One queue is reset and enabled again (virtio 1.4, Virtqueue Reset). Its owner may go on adding
 * buffers all the while: they are made available, in the old queue or in the new, when it is
 * suspended in neither.
 */
final class QueueRestart {
  private final DriverTransport transport;
  private final DriverQueue queue;
  private final UsedBufferHandler handler;
  private PeerFault fault;

  /**
   * @param handler of the queue; null for none
   */
  QueueRestart(DriverTransport transport, DriverQueue queue, UsedBufferHandler handler) {
    this.transport = transport;
    this.queue = queue;
    this.handler = handler;
  }

  /** Gives what was not used to a consumer, on the owner. */
  void run(int size, Consumer<Object> unused) throws IOException {
    int index = queue.index();
    QueueOwner owner = transport.queueOwner(index);
    DriverQueueSet.onOwner(owner, queue::suspend);
    transport.resetQueue(index);
    try {
      DriverQueueSet.onOwner(owner, () -> startAnew(size, unused));
      if (fault != null) {
        throw new IOException(transport.busName() + ", " + queue + " at its reset", fault);
      }
      transport.enableQueue(index, size);
    } catch (IOException | RuntimeException e) {
      try {
        DriverQueueSet.onOwner(owner, this::broken);
      } catch (IOException | RuntimeException again) {
        if (again != e) {
          e.addSuppressed(again);
        }
      }
      throw e;
    }
    DriverQueueSet.onOwner(owner, queue::resume);
  }

  /** The callback does not run, so that nobody else would tell the handler. */
  private void broken() {
    queue.breakQueue(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, queue.index()));
    if (handler != null) {
      handler.broken(queue, queue.fault());
    }
  }

  /** The device has let go of the queue, and its callback does not run. */
  private void startAnew(int size, Consumer<Object> unused) {
    try {
      if (handler != null && queue.hasUsed()) {
        handler.used(queue);
      }
    } catch (PeerFault lie) {
      queue.breakQueue(lie);
      fault = lie;
      return;
    }
    List<Object> tokens = new ArrayList<>();
    for (Object token = queue.detachUnused(); token != null; token = queue.detachUnused()) {
      tokens.add(token);
    }
    queue.reset(size);
    // Not before: they may be added again at once.
    tokens.forEach(unused);
  }
}
