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

/**
 * A disk in memory on which, of the requests that are started together, the last ends first, and
 * the oldest only when the device has had the time to give back the others.
 */
final class OvertakingBackend implements BlockBackend {
  private final MemoryBackend disk;
  private final AtomicLong overtakers = new AtomicLong();

  OvertakingBackend(long capacity) {
    disk = new MemoryBackend(capacity);
  }

  /** How many requests have ended before an older one of the same queue. */
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

  private final class Channel implements BlockChannel {
    private final BlockChannel target;
    private final int depth;
    private List<Runnable> queued = new ArrayList<>();
    private Runnable oldest;
    private int polls;

    Channel(BlockChannel target, int depth) {
      this.target = target;
      this.depth = depth;
    }

    @Override
    public boolean hasRoom() {
      return queued.size() + (oldest == null ? 0 : 1) < depth;
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
        if (oldest == null && together.size() > 1) {
          oldest = together.removeFirst();
          polls = 0;
        }
        if (oldest != null) {
          overtakers.addAndGet(together.size());
        }
        together.reversed().forEach(Runnable::run);
        target.submit();
      }
    }

    // The first poll comes with the submission, before what has ended is published.
    @Override
    public boolean poll() {
      if (oldest == null || ++polls < 2) {
        return false;
      }
      Runnable late = oldest;
      oldest = null;
      late.run();
      target.submit();
      return true;
    }

    @Override
    public boolean arm() {
      return oldest == null;
    }

    @Override
    public void close() {
      target.close();
    }
  }
}
