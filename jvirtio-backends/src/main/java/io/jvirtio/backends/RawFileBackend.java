// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.devices.blk.BlockBackend;
import io.jvirtio.devices.blk.BlockCapabilities;
import io.jvirtio.devices.blk.BlockChannel;
import io.jvirtio.linux.IoUring;
import io.jvirtio.linux.LinuxException;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A raw disk image: a regular file or a block device. What is at byte N of the disk is at byte N of
 * the image.
 *
 * <p>The image is locked (flock) while it is open: one writer, or any number of readers.
 * Thread-safe; each channel belongs to one thread.
 */
public final class RawFileBackend implements BlockBackend {
  private static final Logger LOG = System.getLogger(RawFileBackend.class.getName());

  /** More requests at once gain nothing, and each may need memory of its own. */
  private static final int MAX_DEPTH = 1024;

  private final RawFileOptions options;
  private final Image image;
  private final Workers workers;
  private final AtomicBoolean fallbackLogged = new AtomicBoolean();
  private volatile long capacity;

  private RawFileBackend(RawFileOptions options, Image image) {
    this.options = options;
    this.image = image;
    this.capacity = image.wholeBlocks(image.openedSize());
    this.workers = new Workers(options.path().getFileName() + "-io");
  }

  /**
   * Opens and locks an image.
   *
   * @throws ImageException when there is none, or it cannot be used; the message says why
   */
  public static RawFileBackend open(RawFileOptions options) throws ImageException {
    return new RawFileBackend(options, Image.open(options));
  }

  @Override
  public long capacity() {
    return capacity;
  }

  /** Rounds down to whole blocks, so that a file may grow byte by byte. */
  @Override
  public long refreshSize() throws IOException {
    try {
      capacity = image.wholeBlocks(image.file().size());
    } catch (LinuxException e) {
      throw new ImageException(options.path() + ": " + e.getMessage(), e);
    }
    return capacity;
  }

  @Override
  public boolean readOnly() {
    return options.readOnly();
  }

  @Override
  public BlockCapabilities capabilities() {
    return image.capabilities();
  }

  @Override
  public int logicalBlockSize() {
    return image.blockSize();
  }

  @Override
  public int physicalBlockSize() {
    return Math.max(image.blockSize(), image.physicalBlockSize());
  }

  /** Whether channels use io_uring: for people to read. */
  public boolean usesIoUring() {
    return options.engine() == RawFileOptions.Engine.AUTO && IoUring.isAvailable();
  }

  @Override
  public BlockChannel openChannel(QueueOwner owner, int depth) throws IOException {
    int places = Math.min(depth, MAX_DEPTH);
    if (options.engine() == RawFileOptions.Engine.AUTO) {
      Optional<IoUring> ring = IoUring.open(places);
      if (ring.isPresent()) {
        return new UringChannel(image, ring.get(), owner, workers, places);
      }
      if (!fallbackLogged.getAndSet(true)) {
        LOG.log(Level.INFO, "{0}: no io_uring here, worker threads instead", options.path());
      }
    }
    return new WorkerChannel(image, owner, workers, places);
  }

  @Override
  public void close() {
    workers.close();
    image.close();
  }

  @Override
  public String toString() {
    return options.path().toString();
  }
}
