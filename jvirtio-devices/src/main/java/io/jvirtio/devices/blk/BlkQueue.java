// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.trace.Trace;
import java.util.ArrayList;
import java.util.List;

/** Handles one request queue of a block device. Owner thread only. */
final class BlkQueue implements QueueHandler {
  private final BlkDevice device;
  private final DeviceQueue queue;
  private final BlockChannel channel;
  private final BlkCounters counters;
  private final RequestObserver observer;

  /** Every request object there is, at most one for each chain object of the queue. */
  private final List<BlkRequest> requests = new ArrayList<>();

  /** Room came back after the last look at the ring, whose driver was not asked to notify. */
  private boolean roomAgain;

  private boolean vanished;

  BlkQueue(BlkDevice device, DeviceQueue queue, BlockChannel channel, BlkCounters counters) {
    this.device = device;
    this.queue = queue;
    this.channel = channel;
    this.counters = counters;
    this.observer = device.observer();
  }

  @Override
  public void available(DeviceQueue same) throws PeerFault {
    try {
      while (channel.hasRoom()) {
        DescriptorChain chain = queue.pop();
        if (chain == null) {
          break;
        }
        start(chain);
      }
      if (!channel.hasRoom()) {
        queue.postpone();
      }
      channel.submit();
      // What the page cache holds has ended by now and goes out in the same batch.
      channel.poll();
      channel.submit();
      roomAgain = !queue.isDrained() && channel.hasRoom();
    } catch (InternalError error) {
      memoryVanished();
    }
    checkMemory();
  }

  private void start(DescriptorChain chain) throws PeerFault {
    BlkRequest request = (BlkRequest) chain.attachment();
    if (request == null) {
      request = new BlkRequest(this);
      requests.add(request);
      chain.attach(request);
    }
    boolean started = false;
    try {
      request.start(chain);
      started = true;
    } finally {
      if (!started) {
        request.giveUp();
      }
    }
  }

  @Override
  public boolean poll() throws PeerFault {
    boolean any = false;
    roomAgain = false;
    try {
      any = channel.poll();
      channel.submit();
    } catch (InternalError error) {
      memoryVanished();
    }
    checkMemory();
    return any;
  }

  @Override
  public boolean arm() {
    return !roomAgain && channel.arm();
  }

  @Override
  public void stopped() {
    channel.close();
  }

  /**
   * Guest memory is gone (its file was truncated). The JVM may report that a little after the
   * access, so any request that the channel does not have may be half done: gives them all back.
   */
  void memoryVanished() {
    vanished = true;
    for (BlkRequest request : requests) {
      request.giveUp();
    }
  }

  private void checkMemory() throws PeerFault {
    if (vanished) {
      vanished = false;
      throw new PeerFault(FaultReason.MEMORY_VANISHED, queue.index());
    }
  }

  BlkDevice device() {
    return device;
  }

  BlockChannel channel() {
    return channel;
  }

  /** The time now, or 0 when nobody wants to know how long requests take. */
  long clock() {
    return observer != null || Trace.requestsEnabled() ? System.nanoTime() : 0;
  }

  void push(DescriptorChain chain, long written) {
    queue.push(chain, written);
  }

  void ended(BlkRequestType type, long bytes, int status, long startedAt) {
    counters.request(type, bytes, status);
    if (startedAt != 0) {
      long nanos = System.nanoTime() - startedAt;
      Trace.request(queue.index(), type.name(), bytes, status, nanos);
      if (observer != null) {
        observer.request(queue.index(), type, bytes, status, nanos);
      }
    }
  }
}
