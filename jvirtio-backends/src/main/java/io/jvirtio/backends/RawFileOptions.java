// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import java.nio.file.Path;

/**
 * How an image file or block device is served. Immutable. Whether writes are stable when they
 * complete is the device's affair ({@link io.jvirtio.devices.blk.CacheMode}).
 *
 * @param path the image
 * @param readOnly opens it for reading only
 * @param direct past the page cache (O_DIRECT)
 * @param discard gives space back on discard; without it the image keeps its space
 * @param blockSize the block size of which the image must be a multiple, in bytes: a power of two
 *     from 512; 0 for the least that the image allows
 * @param engine who moves the data
 */
public record RawFileOptions(
    Path path, boolean readOnly, boolean direct, boolean discard, int blockSize, Engine engine) {
  /** Who moves the data. */
  public enum Engine {
    /** io_uring where the kernel has it, else {@link #WORKERS}. */
    AUTO,

    /** Threads with preadv and pwritev. */
    WORKERS
  }

  /** Checks each option by itself. */
  public RawFileOptions {
    if (blockSize != 0 && (blockSize < 512 || Integer.bitCount(blockSize) != 1)) {
      throw new IllegalArgumentException(
          "block size is " + blockSize + ", must be a power of two from 512");
    }
  }

  /** An image to be written, through the page cache, with discard. */
  public static RawFileOptions of(Path path) {
    return new RawFileOptions(path, false, false, true, 0, Engine.AUTO);
  }

  /** The same with another value of {@link #readOnly}. */
  public RawFileOptions withReadOnly(boolean only) {
    return new RawFileOptions(path, only, direct, discard, blockSize, engine);
  }

  /** The same with another value of {@link #direct}. */
  public RawFileOptions withDirect(boolean pastTheCache) {
    return new RawFileOptions(path, readOnly, pastTheCache, discard, blockSize, engine);
  }

  /** The same with another value of {@link #discard}. */
  public RawFileOptions withDiscard(boolean on) {
    return new RawFileOptions(path, readOnly, direct, on, blockSize, engine);
  }

  /** The same with another value of {@link #blockSize}. */
  public RawFileOptions withBlockSize(int bytes) {
    return new RawFileOptions(path, readOnly, direct, discard, bytes, engine);
  }

  /** The same with another value of {@link #engine}. */
  public RawFileOptions withEngine(Engine who) {
    return new RawFileOptions(path, readOnly, direct, discard, blockSize, who);
  }
}
