// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static io.jvirtio.transport.mmio.MmioLayout.GUEST_PAGE_SIZE;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_ALIGN;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_PFN;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_SIZE;
import static io.jvirtio.transport.mmio.MmioLayout.QUEUE_SIZE_MAX;

import io.jvirtio.queue.QueueLayout;
import io.jvirtio.transport.DeviceAnswerException;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/** Version 1 (virtio 1.4, Virtio Over MMIO, Legacy interface). */
final class MmioLegacyRegisters extends MmioRegisters {
  private static final int PAGE_SHIFT = 12;
  private static final int PAGE = 1 << PAGE_SHIFT;

  private final boolean bigEndian;

  /** Page numbers of queues that are not enabled yet. */
  private final Map<Integer, Integer> pages = new HashMap<>();

  /** The largest sizes of queues, which may not be asked for while they are in use. */
  private final Map<Integer, Integer> maxSizes = new HashMap<>();

  MmioLegacyRegisters(MmioAccess access, MmioIdentity identity, MmioDriverOptions options)
      throws IOException {
    super(access, identity, options);
    bigEndian = options.bigEndian();
  }

  @Override
  public boolean isBigEndian() {
    return bigEndian;
  }

  @Override
  public int featureWords() {
    return 1;
  }

  @Override
  public void writeStatus(int status) throws IOException {
    super.writeStatus(status);
    if (status == 0) {
      maxSizes.clear();
    }
  }

  @Override
  public int configGeneration() {
    return -1;
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    Integer known = maxSizes.get(queue);
    if (known != null) {
      return known;
    }
    select(queue);
    return get(QUEUE_SIZE_MAX);
  }

  @Override
  public int legacyAlign() {
    return PAGE;
  }

  @Override
  public boolean isQueueEnabled(int queue) throws IOException {
    select(queue);
    return get(QUEUE_PFN) != 0;
  }

  /** The address is what enables the queue. */
  @Override
  public void configureQueue(int queue, QueueLayout layout, boolean wideNotifications)
      throws IOException {
    long page = layout.descriptorArea() >>> PAGE_SHIFT;
    if (page == 0 || page >>> WORD_BITS != 0) {
      throw new DeviceAnswerException(
          String.format(
              "%s, queue %d is at 0x%x: the legacy interface reaches from 2^12 to 2^44",
              name(), queue, layout.descriptorArea()));
    }
    maxSizes.put(queue, queueMaxSize(queue));
    pages.put(queue, (int) page);
    set(GUEST_PAGE_SIZE, PAGE);
    select(queue);
    set(QUEUE_SIZE, layout.size());
    set(QUEUE_ALIGN, PAGE);
  }

  @Override
  void start(int queue) throws IOException {
    set(QUEUE_PFN, pages.remove(queue));
  }

  @Override
  void disableQueue(int queue) throws IOException {
    select(queue);
    set(QUEUE_PFN, 0);
    get(QUEUE_PFN);
  }

  @Override
  public void startQueueReset(int queue) throws IOException {
    throw new DeviceAnswerException(name() + ": the legacy interface cannot reset one queue");
  }

  @Override
  public boolean isQueueResetting(int queue) {
    return false;
  }
}
