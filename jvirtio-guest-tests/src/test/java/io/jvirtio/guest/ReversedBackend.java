// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.devices.blk.BlockBackend;
import io.jvirtio.devices.blk.BlockCapabilities;
import io.jvirtio.devices.blk.BlockChannel;
import io.jvirtio.devices.blk.BlockRequest;
import io.jvirtio.devices.blk.MemoryBackend;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/** A disk in memory on which, of the requests that are started together, the last ends first. */
final class ReversedBackend implements BlockBackend {
  private final MemoryBackend disk;
  private final AtomicLong overtakers = new AtomicLong();

  ReversedBackend(long capacity) {
    disk = new MemoryBackend(capacity);
  }

  /** How many requests have ended before one that was started with them, and came first. */
  long overtakers() {
    return overtakers.get();
  }

  /** What is on it. */
  byte[] contents() {
    return disk.read(0, Math.toIntExact(disk.capacity()));
  }

  @Override
  public long capacity() {
    return disk.capacity();
  }

  @Override
  public boolean readOnly() {
    return false;
  }

  @Override
  public BlockCapabilities capabilities() {
    return disk.capabilities();
  }

  @Override
  public BlockChannel openChannel(QueueOwner owner, int depth) {
    return new Channel(disk.openChannel(owner, depth), depth);
  }

  @Override
  public void close() {
    disk.close();
  }

  /** Does everything in {@link #submit}, as the channel of a {@link MemoryBackend} does. */
  private final class Channel implements BlockChannel {
    private final BlockChannel target;
    private final int depth;
    private List<Runnable> queued = new ArrayList<>();

    Channel(BlockChannel target, int depth) {
      this.target = target;
      this.depth = depth;
    }

    @Override
    public boolean hasRoom() {
      return queued.size() < depth;
    }

    @Override
    public void read(BlockRequest request) {
      queued.add(() -> target.read(request));
    }

    @Override
    public void write(BlockRequest request) {
      queued.add(() -> target.write(request));
    }

    @Override
    public void flush(BlockRequest request) {
      queued.add(() -> target.flush(request));
    }

    @Override
    public void discard(BlockRequest request) {
      queued.add(() -> target.discard(request));
    }

    @Override
    public void writeZeroes(BlockRequest request) {
      queued.add(() -> target.writeZeroes(request));
    }

    @Override
    public void secureErase(BlockRequest request) {
      queued.add(() -> target.secureErase(request));
    }

    @Override
    public void submit() {
      // What completes may queue again.
      while (!queued.isEmpty()) {
        List<Runnable> together = queued;
        queued = new ArrayList<>();
        overtakers.addAndGet(together.size() - 1);
        together.reversed().forEach(Runnable::run);
        target.submit();
      }
    }

    @Override
    public boolean poll() {
      return target.poll();
    }

    @Override
    public boolean arm() {
      return target.arm();
    }

    @Override
    public void close() {
      target.close();
    }
  }
}
