// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.device.QueueOwner;
import java.io.IOException;

/**
 * Holds the data of a block device: a range of bytes that can be read and written in sectors.
 *
 * <p>Unless said otherwise the methods may be called on any thread. A back end outlives the
 * device's resets, and every channel is closed before it is.
 */
public interface BlockBackend extends AutoCloseable {
  /** Bytes, a multiple of {@link #logicalBlockSize}. */
  long capacity();

  /**
   * Looks whether the storage has grown or shrunk, and takes the new size over.
   *
   * @return the {@link #capacity} from now on
   * @throws IOException when the storage cannot be asked; the capacity stays
   */
  default long refreshSize() throws IOException {
    return capacity();
  }

  /** Whether it refuses every change. */
  boolean readOnly();

  /** What it can do beyond reading, writing and flushing; the same each time. */
  BlockCapabilities capabilities();

  /**
   * The unit in which it can be read and written, in bytes: a power of two, at least 512. A request
   * that is no multiple of it may fail.
   */
  default int logicalBlockSize() {
    return 512;
  }

  /** The unit that is written without a read before, in bytes: a power of two. */
  default int physicalBlockSize() {
    return logicalBlockSize();
  }

  /**
   * Opens a channel for one queue. On the queue's owner.
   *
   * @param owner the thread that will use it, where completions of other threads are to be posted
   * @param depth how many requests the queue can have in flight, at least 1; the channel may take
   *     fewer at once
   * @throws IOException when there are no resources for it
   */
  BlockChannel openChannel(QueueOwner owner, int depth) throws IOException;

  /** Releases the storage. */
  @Override
  void close();
}
