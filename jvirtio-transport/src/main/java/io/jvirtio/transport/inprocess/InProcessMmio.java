// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.SharedMemory;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.mmio.MmioAccess;
import io.jvirtio.transport.mmio.MmioDevice;
import io.jvirtio.transport.mmio.MmioOptions;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntFunction;

/**
 * A device in the same process behind mmio registers: the driver's side of a {@link MmioDevice},
 * and the machine around it. The interrupt's handler runs on the device's thread that raised it.
 */
public final class InProcessMmio implements MmioAccess {
  private static final Logger LOG = System.getLogger(InProcessMmio.class.getName());
  private static final long REGION_BYTES = 1 << 20;

  /** Memory that a device did not let go of: kept for ever, because it may still write there. */
  private static final Queue<DriverMemory> KEPT = new ConcurrentLinkedQueue<>();

  private final MmioDevice device;
  private final RegisterWindow window = new Place();
  private final InProcessMemory memory;
  private final Map<Long, MemorySegment> shared = new HashMap<>();
  private final AtomicBoolean closed = new AtomicBoolean();
  private volatile boolean removed;

  /** Held while the handler runs, which may cause the next interrupt of its own. */
  private final ReentrantLock delivery = new ReentrantLock();

  // Under that lock.
  private Runnable handler;
  private boolean asserted;

  /** Plugs a device in, with one owner for all its queues. */
  public InProcessMmio(VirtioDevice device, QueueOwner owner, MmioOptions options) {
    this(device, queue -> owner, options);
  }

  /**
   * Plugs a device in.
   *
   * @param device belongs to this object until that is closed
   * @param owners the owner of the device's side of a queue, by its number; they stay the caller's
   */
  public InProcessMmio(
      VirtioDevice device, IntFunction<? extends QueueOwner> owners, MmioOptions options) {
    this.device = new MmioDevice(device, owners, options, this::level);
    this.memory = new InProcessMemory(REGION_BYTES, this::memoryGrew);
    for (SharedMemory region : device.sharedMemory()) {
      Long address = options.sharedMemory().get(region.id());
      if (address != null) {
        shared.put(address, region.memory());
      }
    }
  }

  /** The device behind the registers: its counters, its host. */
  public MmioDevice device() {
    return device;
  }

  /** Takes the device away, without a word to its driver. */
  public void remove() {
    removed = true;
    device.close();
  }

  private void memoryGrew(GuestMemory larger) throws IOException {
    if (removed) {
      throw new IOException(name() + " is gone");
    }
    device.growMemory(larger);
  }

  private void level(boolean now) {
    delivery.lock();
    try {
      asserted = now;
      deliver();
    } finally {
      delivery.unlock();
    }
  }

  private void deliver() {
    if (asserted && handler != null) {
      handler.run();
    }
  }

  @Override
  public String name() {
    return "mmio:in-process";
  }

  @Override
  public RegisterWindow registers() {
    return window;
  }

  /** Nothing answers where nothing is: reads give all ones. */
  private final class Place implements RegisterWindow {
    @Override
    public long size() {
      return device.size();
    }

    @Override
    public long read(long offset, int width) {
      return removed ? -1L >>> 64 - 8 * width : device.read(offset, width);
    }

    @Override
    public void write(long offset, int width, long value) {
      if (!removed) {
        device.write(offset, width, value);
      }
    }
  }

  @Override
  public MemorySegment map(long address, long bytes) {
    MemorySegment region = shared.get(address);
    return region == null || region.byteSize() < bytes ? null : region.asSlice(0, bytes);
  }

  @Override
  public DriverMemory memory() {
    return memory;
  }

  @Override
  public void enableInterrupt(Runnable newHandler) {
    delivery.lock();
    try {
      handler = newHandler;
      deliver();
    } finally {
      delivery.unlock();
    }
  }

  @Override
  public void disableInterrupt() {
    delivery.lock();
    try {
      handler = null;
    } finally {
      delivery.unlock();
    }
  }

  /** {@inheritDoc} Resets the device; what drivers still hold of the memory stays valid. */
  @Override
  public void close() {
    if (!closed.compareAndSet(false, true)) {
      return;
    }
    removed = true;
    disableInterrupt();
    device.close();
    if (device.host().isAnyRunning()) {
      KEPT.add(memory);
      LOG.log(Level.WARNING, "{0} does not end: its memory is kept", name());
    }
  }
}
