// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.spec.SplitRing;
import io.jvirtio.spec.VirtioBlk;

/**
 * How a block device presents itself. Immutable.
 *
 * @param queues how many request queues, 1 to 1024
 * @param queueSize the largest size of a queue, a power of two up to 32768
 * @param serial what VIRTIO_BLK_T_GET_ID answers: up to 20 printable ASCII characters
 * @param blockSize the logical block size in bytes, a power of two from 512 to 65536; 0 for the
 *     back end's
 * @param cache the cache mode after reset
 * @param readOnly whether the driver may only read, even where the back end can be written
 * @param discard whether to offer discard, and deallocation by writing zeroes, where the back end
 *     can
 * @param observer sees every request, or null
 */
public record BlkOptions(
    int queues,
    int queueSize,
    String serial,
    int blockSize,
    CacheMode cache,
    boolean readOnly,
    boolean discard,
    RequestObserver observer) {
  /** The most queues. */
  public static final int MAX_QUEUES = 1024;

  private static final int MAX_BLOCK_SIZE = 65536;

  /** Checks each option by itself. */
  public BlkOptions {
    if (queues < 1 || queues > MAX_QUEUES) {
      throw new IllegalArgumentException(
          "number of queues is " + queues + ", must be 1 to " + MAX_QUEUES);
    }
    if (!SplitRing.isValidQueueSize(queueSize)) {
      throw new IllegalArgumentException(
          "queue size is " + queueSize + ", must be a power of two up to 32768");
    }
    if (serial.length() > VirtioBlk.VIRTIO_BLK_ID_BYTES
        || serial.chars().anyMatch(c -> c < 0x20 || c > 0x7e)) {
      throw new IllegalArgumentException(
          "serial must be up to 20 printable ASCII characters: " + serial);
    }
    if (blockSize != 0 && !isBlockSize(blockSize)) {
      throw new IllegalArgumentException(
          "block size is " + blockSize + ", must be a power of two from 512 to " + MAX_BLOCK_SIZE);
    }
    if (cache == null) {
      throw new IllegalArgumentException("no cache mode");
    }
  }

  private static boolean isBlockSize(int size) {
    return size >= VirtioBlk.SECTOR_SIZE && size <= MAX_BLOCK_SIZE && Integer.bitCount(size) == 1;
  }

  /** One queue of 256, write-back, discard on, everything else as the back end has it. */
  public static BlkOptions defaults() {
    return builder().build();
  }

  /** Starts from the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Collects options. Not thread-safe. */
  public static final class Builder {
    private int queues = 1;
    private int queueSize = 256;
    private String serial = "";
    private int blockSize;
    private CacheMode cache = CacheMode.WRITEBACK;
    private boolean readOnly;
    private boolean discard = true;
    private RequestObserver observer;

    private Builder() {}

    /** How many request queues. */
    public Builder queues(int count) {
      queues = count;
      return this;
    }

    /** The largest size of a queue. */
    public Builder queueSize(int descriptors) {
      queueSize = descriptors;
      return this;
    }

    /** What VIRTIO_BLK_T_GET_ID answers. */
    public Builder serial(String text) {
      serial = text;
      return this;
    }

    /** The logical block size in bytes. */
    public Builder blockSize(int bytes) {
      blockSize = bytes;
      return this;
    }

    /** The cache mode after reset. */
    public Builder cache(CacheMode mode) {
      cache = mode;
      return this;
    }

    /** Whether the driver may only read. */
    public Builder readOnly(boolean only) {
      readOnly = only;
      return this;
    }

    /** Whether to offer discard. */
    public Builder discard(boolean offer) {
      discard = offer;
      return this;
    }

    /** Sees every request; null for none. */
    public Builder observer(RequestObserver requestObserver) {
      observer = requestObserver;
      return this;
    }

    /**
     * The options.
     *
     * @throws IllegalArgumentException for a value out of range
     */
    public BlkOptions build() {
      return new BlkOptions(
          queues, queueSize, serial, blockSize, cache, readOnly, discard, observer);
    }
  }
}
