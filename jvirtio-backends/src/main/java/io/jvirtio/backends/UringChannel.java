// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.linux.IoUring;
import io.jvirtio.linux.LinuxException;

/**
 * A channel that moves data by io_uring: all that was queued starts with one system call, and what
 * the page cache holds has completed when that call returns. Owner thread only.
 */
final class UringChannel extends ImageChannel {
  private final IoUring ring;
  private final QueueOwner owner;
  private final int file;
  private final IoUring.CompletionHandler handler = this::ended;

  /**
   * A channel on a fresh ring of the current thread, which it closes.
   *
   * @param places how many requests at once; the ring has at least as many entries
   */
  UringChannel(Image image, IoUring ring, QueueOwner owner, Workers workers, int places) {
    super(image, owner, workers, places);
    this.ring = ring;
    this.owner = owner;
    this.file = register(ring, image.file().fd().value());
    boolean watched = false;
    try {
      owner.watch(ring.fd());
      watched = true;
    } finally {
      if (!watched) {
        ring.close();
      }
    }
  }

  private static int register(IoUring ring, int fd) {
    try {
      ring.registerFiles(fd);
      return IoUring.registered(0);
    } catch (LinuxException e) {
      // It only saves time: the ring works without.
      return fd;
    }
  }

  @Override
  void start(FileOp op) {
    int data = op.number();
    switch (op.call()) {
      case READ -> {
        if (op.vectors() == 0) {
          ring.prepRead(file, op.address(), op.length(), op.offset(), data, op.flags());
        } else {
          ring.prepReadv(file, op.address(), op.vectors(), op.offset(), data, op.flags());
        }
      }
      case WRITE -> {
        if (op.vectors() == 0) {
          ring.prepWrite(file, op.address(), op.length(), op.offset(), data, op.flags());
        } else {
          ring.prepWritev(file, op.address(), op.vectors(), op.offset(), data, op.flags());
        }
      }
      case SYNC -> ring.prepFsync(file, true, data);
      case ALLOCATE -> ring.prepFallocate(file, op.flags(), op.offset(), op.allocation(), data);
      case DEVICE -> detour(op);
    }
  }

  private void ended(long data, int value) {
    called(operation((int) data), value);
  }

  @Override
  public void submit() {
    if (ring.unsubmitted() > 0) {
      ring.submit();
    }
  }

  @Override
  public boolean poll() {
    boolean any = super.poll();
    return ring.reap(handler) > 0 || any;
  }

  @Override
  public boolean arm() {
    return super.arm() && ring.unsubmitted() == 0 && !ring.hasCompletions();
  }

  @Override
  public void close() {
    owner.unwatch(ring.fd());
    ring.close();
    super.close();
  }
}
