// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.spec.VirtioBlk.SECTOR_SIZE;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A block device (virtio 1.4, Device Types / Block Device) over a {@link BlockBackend}.
 *
 * <p>Every request of an ordinary disk: read, write, flush, get id, discard, write zeroes, secure
 * erase. Not offered: lifetime and zones. Requests to one queue run concurrently and end in any
 * order.
 *
 * <p>The cache mode belongs to the device: without VIRTIO_BLK_F_FLUSH, or with {@code writeback} 0,
 * a write completes only when it is stable.
 */
public final class BlkDevice implements VirtioDevice {
  private static final Logger LOG = System.getLogger(BlkDevice.class.getName());

  private final BlockBackend backend;
  private final BlkOptions options;
  private final boolean readOnly;
  private final FeatureBits features;
  private final ConfigSpace config;
  private final byte[] id;
  private final BlkCounters[] counters;
  private volatile long capacitySectors;
  private volatile boolean writeback;
  private volatile FeatureBits negotiated = FeatureBits.NONE;

  /**
   * A block device.
   *
   * @param backend holds the data; it stays the caller's, who closes it after the device's last use
   * @throws IllegalArgumentException when options and back end do not go together
   */
  public BlkDevice(BlockBackend backend, BlkOptions options) {
    this.backend = backend;
    this.options = options;
    this.readOnly = options.readOnly() || backend.readOnly();
    this.features = BlkConfig.features(backend, options);
    this.config = BlkConfig.space(backend, options);
    config.writable("writeback", this::writebackWritten);
    byte[] serial = options.serial().getBytes(StandardCharsets.US_ASCII);
    id = Arrays.copyOf(serial, VirtioBlk.VIRTIO_BLK_ID_BYTES);
    counters = new BlkCounters[options.queues()];
    for (int i = 0; i < counters.length; i++) {
      counters[i] = new BlkCounters();
    }
    capacitySectors = config.get("capacity");
    reset();
  }

  @Override
  public int deviceId() {
    return DeviceType.BLOCK.id();
  }

  @Override
  public int queueCount() {
    return options.queues();
  }

  @Override
  public int queueMaxSize(int queue) {
    return options.queueSize();
  }

  @Override
  public FeatureBits features() {
    return features;
  }

  @Override
  public ConfigSpace config() {
    return config;
  }

  @Override
  public void negotiated(FeatureBits accepted) {
    negotiated = accepted;
    boolean flush = accepted.has(VirtioBlk.VIRTIO_BLK_F_FLUSH);
    if (!accepted.has(VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE)) {
      // A driver that cannot flush takes every completed write for stable.
      setWriteback(flush && options.cache() == CacheMode.WRITEBACK);
    } else if (!flush && accepted.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      // On the legacy interface the driver may have chosen a mode already: then it stays.
      setWriteback(false);
    }
  }

  @Override
  public void reset() {
    negotiated = FeatureBits.NONE;
    setWriteback(options.cache() == CacheMode.WRITEBACK);
  }

  private void setWriteback(boolean on) {
    writeback = on;
    config.set("writeback", on ? 1 : 0);
  }

  private void writebackWritten(long value) {
    FeatureBits now = negotiated;
    // Before the end of negotiation a legacy driver may write it.
    boolean allowed =
        now.isEmpty()
            ? features.has(VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE)
            : now.has(VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE);
    setWriteback(allowed ? value != 0 : writeback);
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    try {
      BlockChannel channel = backend.openChannel(owner, queue.size());
      return new BlkQueue(this, queue, channel, counters[queue.index()]);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** What has happened so far. Any thread; requests of this moment may be missing. */
  public BlkStats stats() {
    BlkStats sum = BlkStats.ZERO;
    for (BlkCounters counter : counters) {
      sum = counter.plus(sum);
    }
    return sum;
  }

  /** The capacity that the driver sees, in bytes. Any thread. */
  public long capacity() {
    return capacitySectors * SECTOR_SIZE;
  }

  /** Whether the driver may only read. Any thread. */
  public boolean readOnly() {
    return readOnly;
  }

  /**
   * Changes the capacity and tells the driver. Requests behind the new end fail from now on. Any
   * thread.
   *
   * @param bytes the new capacity; rounded down to whole blocks
   */
  public synchronized void resize(long bytes) {
    long blockSize = config.get("blk_size");
    long sectors = bytes / blockSize * (blockSize / SECTOR_SIZE);
    if (sectors == capacitySectors) {
      return;
    }
    LOG.log(Level.INFO, "capacity changes from {0} to {1} sectors", capacitySectors, sectors);
    capacitySectors = sectors;
    config.change(() -> BlkConfig.setCapacity(config, sectors));
  }

  /**
   * Takes over a new size of the storage. Any thread.
   *
   * @return the capacity from now on, in bytes
   * @throws IOException when the storage cannot be asked
   */
  public long refreshSize() throws IOException {
    resize(backend.refreshSize());
    return capacity();
  }

  long capacitySectors() {
    return capacitySectors;
  }

  /** Whether a write must be stable when it completes. */
  boolean writethrough() {
    return !writeback;
  }

  boolean hasNegotiated(int feature) {
    return negotiated.has(feature);
  }

  boolean mayUnmap() {
    return options.discard();
  }

  /** The device id string, padded with zeroes to 20 bytes. */
  byte[] id() {
    return id;
  }

  RequestObserver observer() {
    return options.observer();
  }
}
