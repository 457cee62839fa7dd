// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.CacheMode;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** The disk that a command serves: a picocli mixin. */
final class DiskOptions {
  private static final int MAX_QUEUES = 256;

  /** When a write is stable, and whether the host's page cache is used. */
  enum Cache {
    /** Stable after a flush. */
    WRITEBACK,
    /** Stable when complete. */
    WRITETHROUGH,
    /** Stable after a flush, past the page cache. */
    DIRECT
  }

  @Option(
      names = "--blk-file",
      required = true,
      paramLabel = "IMAGE",
      description = "The disk image: a raw file or a block device.")
  private Path image;

  @Option(
      names = {"--read-only", "-r"},
      description = "The guest may only read.")
  private boolean readOnly;

  @Option(
      names = "--num-queues",
      defaultValue = "256",
      paramLabel = "N",
      description = "Queues to offer, 1 to 256 (default: ${DEFAULT-VALUE}).")
  private int queues;

  @Option(
      names = "--queue-size",
      defaultValue = "256",
      paramLabel = "N",
      description = "Largest queue, a power of two up to 32768 (default: ${DEFAULT-VALUE}).")
  private int queueSize;

  @Option(
      names = "--serial",
      defaultValue = "",
      paramLabel = "TEXT",
      description = "Serial number, up to 20 characters.")
  private String serial;

  @Option(
      names = "--block-size",
      defaultValue = "0",
      paramLabel = "BYTES",
      description = "Logical block size (default: 512, or what the image needs).")
  private int blockSize;

  @Option(
      names = "--cache",
      defaultValue = "writeback",
      paramLabel = "MODE",
      description = "writeback, writethrough or direct (default: ${DEFAULT-VALUE}).")
  private Cache cache;

  @Option(
      names = "--discard",
      defaultValue = "on",
      paramLabel = "on|off",
      description = "Give space back when the guest discards (default: ${DEFAULT-VALUE}).")
  private Switch discard;

  /** For picocli. */
  DiskOptions() {}

  Path image() {
    return image;
  }

  boolean readOnly() {
    return readOnly;
  }

  int blockSize() {
    return blockSize;
  }

  /** How the image is opened. */
  RawFileOptions file() {
    return RawFileOptions.of(image)
        .withReadOnly(readOnly)
        .withDirect(cache == Cache.DIRECT)
        .withDiscard(discard == Switch.ON)
        .withBlockSize(blockSize);
  }

  /**
   * What the device is like.
   *
   * @throws IllegalArgumentException when there is no such device
   */
  BlkOptions device() {
    if (queues > MAX_QUEUES) {
      throw new IllegalArgumentException(
          "number of queues is " + queues + ", must be 1 to " + MAX_QUEUES);
    }
    return BlkOptions.builder()
        .queues(queues)
        .queueSize(queueSize)
        .serial(serial)
        .blockSize(blockSize)
        .cache(cache == Cache.WRITETHROUGH ? CacheMode.WRITETHROUGH : CacheMode.WRITEBACK)
        .readOnly(readOnly)
        .discard(discard == Switch.ON)
        .build();
  }
}
