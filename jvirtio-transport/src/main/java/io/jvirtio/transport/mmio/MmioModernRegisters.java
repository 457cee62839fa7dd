// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static io.jvirtio.transport.mmio.MmioLayout.CONFIG_GENERATION;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DESC_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DEVICE_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_DRIVER_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_READY;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_RESET;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_SIZE;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_SIZE_MAX;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_BASE_HIGH;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_BASE_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_LEN_HIGH;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_LEN_LOW;
import static io.jvirtio.transport.mmio.MmioLayout.SHM_SEL;

import io.jvirtio.driver.SharedMemoryRegion;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.DeviceAnswerException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** Version 2 (virtio 1.4, MMIO Device Register Layout). */
final class MmioModernRegisters extends MmioRegisters {
  private static final int FEATURE_WORDS = 4;

  /** Length and address of a region that there is not. */
  private static final long NONE = -1;

  MmioModernRegisters(MmioAccess access, MmioIdentity identity, MmioDriverOptions options)
      throws IOException {
    super(access, identity, options);
  }

  @Override
  public FeatureBits carriedFeatures() {
    return FeatureBits.of(
        ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA, ReservedFeatures.VIRTIO_F_SUSPEND);
  }

  @Override
  public int featureWords() {
    return FEATURE_WORDS;
  }

  /** Without the highest bit, so that no generation is taken for none. */
  @Override
  public int configGeneration() throws IOException {
    return get(CONFIG_GENERATION) & Integer.MAX_VALUE;
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    select(queue);
    return get(QUEUE_SIZE_MAX);
  }

  @Override
  public boolean isQueueEnabled(int queue) throws IOException {
    select(queue);
    return get(QUEUE_READY) != 0;
  }

  @Override
  public void configureQueue(int queue, QueueLayout layout, boolean wideNotifications)
      throws IOException {
    select(queue);
    set(QUEUE_SIZE, layout.size());
    writeAddress(QUEUE_DESC_LOW, layout.descriptorArea());
    writeAddress(QUEUE_DRIVER_LOW, layout.driverArea());
    writeAddress(QUEUE_DEVICE_LOW, layout.deviceArea());
  }

  private void writeAddress(int low, long address) throws IOException {
    set(low, (int) address);
    set(low + 4, (int) (address >>> WORD_BITS));
  }

  @Override
  void start(int queue) throws IOException {
    set(QUEUE_READY, 1);
  }

  @Override
  void disableQueue(int queue) throws IOException {
    select(queue);
    set(QUEUE_READY, 0);
    get(QUEUE_READY);
  }

  @Override
  public void startQueueReset(int queue) throws IOException {
    select(queue);
    set(QUEUE_RESET, 1);
  }

  @Override
  public boolean isQueueResetting(int queue) throws IOException {
    select(queue);
    return get(QUEUE_RESET) != 0;
  }

  @Override
  public SharedMemoryRegion sharedMemoryRegion(int id) throws IOException {
    set(SHM_SEL, id);
    long length = pair(SHM_LEN_LOW, SHM_LEN_HIGH);
    long base = pair(SHM_BASE_LOW, SHM_BASE_HIGH);
    if (length == NONE || length == 0) { // or such registers read as 0
      return null;
    }
    if (length < 0 || base == NONE || Long.compareUnsigned(base + length - 1, base) < 0) {
      return refuse(id, base, length);
    }
    MemorySegment segment = access().map(base, length);
    return segment == null ? null : new SharedMemoryRegion(id, segment);
  }

  private SharedMemoryRegion refuse(int id, long base, long length) throws IOException {
    throw new DeviceAnswerException(
        String.format("%s, shared memory region %d: 0x%x bytes at 0x%x", name(), id, length, base));
  }

  private long pair(int low, int high) throws IOException {
    return get(low) & 0xffff_ffffL | (long) get(high) << WORD_BITS;
  }
}
