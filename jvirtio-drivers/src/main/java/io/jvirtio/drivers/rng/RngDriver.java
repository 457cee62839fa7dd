// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.rng;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * A driver of an entropy device (virtio 1.4, Device Types / Entropy Device): one request at a time,
 * into one buffer.
 */
public final class RngDriver implements Driver, UsedBufferHandler, AutoCloseable {
  private static final int BYTES = 4096;

  private final DriverDevice device;
  private final QueueOwner owner;
  private final Duration timeout;
  private final MemorySegment shared;
  private DriverQueue queue;
  private volatile CompletableFuture<Long> answer = new CompletableFuture<>();

  RngDriver(DriverDevice device, QueueOwner owner, Duration timeout) throws IOException {
    this.device = device;
    this.owner = owner;
    this.timeout = timeout;
    this.shared = device.transport().memory().allocate(BYTES, 1);
    restore();
  }

  /** Drives the device behind a transport, which the driver closes. */
  public static RngDriver open(DriverTransport transport, QueueOwner owner) throws IOException {
    return DriverDevice.open(transport, new RngDriverType(owner), RngDriver.class);
  }

  /** The device, such as to recover it. */
  public DriverDevice device() {
    return device;
  }

  @Override
  public void restore() throws IOException {
    QueueRequest request = new QueueRequest("requestq", 0, 1, this, owner);
    queue = device.findQueues(List.of(request)).getFirst();
  }

  /**
   * Fills memory with random bytes. Any thread; it waits, and does the owner's work if it is the
   * owner.
   *
   * @throws IOException when the device does not answer in 10 seconds, or is broken or gone
   */
  public synchronized void read(MemorySegment target) throws IOException {
    for (long done = 0; done < target.byteSize(); ) {
      long got = request(Math.min(BYTES, target.byteSize() - done));
      MemorySegment.copy(shared, 0, target, done, got);
      done += got;
    }
  }

  private long request(long bytes) throws IOException {
    CompletableFuture<Long> mine = new CompletableFuture<>();
    DriverQueueSet.onOwner(owner, () -> submit(bytes, mine));
    if (owner.isOwner()) {
      owner.runUntil(mine::isDone, timeout);
    }
    try {
      long written = mine.orTimeout(timeout.toNanos(), TimeUnit.NANOSECONDS).join();
      if (written == 0) {
        throw new IOException(device.name() + " has written no random bytes");
      }
      return written;
    } catch (CompletionException e) {
      if (e.getCause() instanceof TimeoutException) {
        // It has the buffer still, so it must be reset before anything else is asked of it.
        device.declareBroken(new PeerFault(FaultReason.DEVICE_SILENT, 0));
      }
      throw new IOException(device.name() + " gives no random bytes", e.getCause());
    }
  }

  private void submit(long bytes, CompletableFuture<Long> mine) {
    answer = mine;
    try {
      MemorySegment part = shared.asSlice(0, bytes);
      queue.add(new DriverBuffer(device.transport().memory(), 1).writable(part), mine);
      queue.kick();
    } catch (PeerFault broken) {
      mine.completeExceptionally(broken);
    }
  }

  @Override
  public void used(DriverQueue same) throws PeerFault {
    while (same.get() != null) {
      answer.complete(same.writtenLength());
    }
  }

  @Override
  public void broken(DriverQueue same, PeerFault fault) {
    answer.completeExceptionally(fault);
  }

  @Override
  public void freeze() {
    device.resetAndDelete();
    answer.completeExceptionally(new IOException("the device was reset"));
  }

  @Override
  public void remove() {
    freeze();
    if (device.state() != DriverDevice.State.LOST) { // else it may still write there
      device.transport().memory().release(shared);
    }
  }

  @Override
  public void close() {
    device.close();
  }
}
