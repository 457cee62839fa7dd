// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.DeviceAnswerException;
import java.io.IOException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** The modern interface (virtio 1.4, Common configuration structure layout). */
final class PciModernRegisters extends PciRegisters {
  private static final int DEVICE_FEATURE_SELECT = 0x00;
  private static final int DEVICE_FEATURE = 0x04;
  private static final int DRIVER_FEATURE_SELECT = 0x08;
  private static final int DRIVER_FEATURE = 0x0c;
  private static final int CONFIG_MSIX_VECTOR = 0x10;
  private static final int NUM_QUEUES = 0x12;
  private static final int DEVICE_STATUS = 0x14;
  private static final int CONFIG_GENERATION = 0x15;
  private static final int QUEUE_SELECT = 0x16;
  private static final int QUEUE_SIZE = 0x18;
  private static final int QUEUE_MSIX_VECTOR = 0x1a;
  private static final int QUEUE_ENABLE = 0x1c;
  private static final int QUEUE_NOTIFY_OFF = 0x1e;
  private static final int QUEUE_DESC = 0x20;
  private static final int QUEUE_DRIVER = 0x28;
  private static final int QUEUE_DEVICE = 0x30;
  private static final int QUEUE_NOTIF_CONFIG_DATA = 0x38;
  private static final int QUEUE_RESET = 0x3a;

  private static final int FEATURE_WORDS = 4;
  private static final int WORD_BITS = 32;

  /** Nowhere: the queue is not configured. */
  private static final long NO_PLACE = -1;

  private final RegisterArea common;
  private final RegisterArea notifier;
  private final RegisterArea device;
  private final long multiplier;

  /** What the registers are too short for. */
  private final FeatureBits impossible;

  /** The largest sizes of queues that were given another. */
  private final Map<Integer, Integer> maxSizes = new HashMap<>();

  /** Where queues are notified. Replaced as a whole, since owners read it. */
  private volatile long[] places = {};

  private PciModernRegisters(
      PciAccess access,
      PciHeader header,
      PciCapabilities capabilities,
      PciDriverOptions options,
      PciStructures found)
      throws IOException {
    super(access, header, capabilities, options, new Events(found.common(), found.isr()));
    this.common = found.common();
    this.notifier = found.notifier();
    this.device = found.device();
    this.multiplier = found.multiplier();
    this.impossible =
        FeatureBits.NONE
            .withIf(
                !common.has(QUEUE_NOTIF_CONFIG_DATA, 2),
                ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA)
            .withIf(!common.has(QUEUE_RESET, 2), ReservedFeatures.VIRTIO_F_RING_RESET);
  }

  /**
   * The modern interface of a function.
   *
   * @throws DeviceAnswerException when it has none, or not all of it
   */
  static PciModernRegisters open(
      PciAccess access, PciHeader header, PciCapabilities capabilities, PciDriverOptions options)
      throws IOException {
    PciStructures found = PciStructures.find(access, capabilities);
    return new PciModernRegisters(access, header, capabilities, options, found);
  }

  private record Events(RegisterArea common, RegisterArea isr) implements PciVectors.Registers {
    @Override
    public int mapConfig(int vector) throws IOException {
      common.write(CONFIG_MSIX_VECTOR, 2, vector);
      return (int) common.read(CONFIG_MSIX_VECTOR, 2);
    }

    @Override
    public int mapQueue(int queue, int vector) throws IOException {
      common.write(QUEUE_SELECT, 2, queue);
      common.write(QUEUE_MSIX_VECTOR, 2, vector);
      return (int) common.read(QUEUE_MSIX_VECTOR, 2);
    }

    @Override
    public int takeInterruptStatus() throws IOException {
      return (int) isr.read(0, 1);
    }
  }

  @Override
  public boolean isLegacy() {
    return false;
  }

  @Override
  public FeatureBits carriedFeatures() {
    return FeatureBits.of(
            ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
            ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
            ReservedFeatures.VIRTIO_F_SUSPEND)
        .minus(impossible);
  }

  @Override
  public int status() throws IOException {
    int status = (int) common.read(DEVICE_STATUS, 1);
    return status == ALL_ONES_8 ? -1 : status;
  }

  @Override
  public void writeStatus(int status) throws IOException {
    if (status == 0) {
      maxSizes.clear();
    }
    common.write(DEVICE_STATUS, 1, status);
  }

  @Override
  public int featureWords() {
    return FEATURE_WORDS;
  }

  @Override
  public int deviceFeatures(int word) throws IOException {
    common.write(DEVICE_FEATURE_SELECT, 4, word);
    int bits = (int) common.read(DEVICE_FEATURE, 4);
    return word == 1 ? bits & ~(int) (impossible.low() >>> WORD_BITS) : bits;
  }

  @Override
  public void writeDriverFeatures(int word, int bits) throws IOException {
    common.write(DRIVER_FEATURE_SELECT, 4, word);
    common.write(DRIVER_FEATURE, 4, bits & 0xffff_ffffL);
  }

  @Override
  public int configSize() {
    return device == null ? 0 : (int) Math.min(device.length(), Integer.MAX_VALUE);
  }

  @Override
  public long readConfig(int offset, int width) throws IOException {
    return device.read(offset, width);
  }

  @Override
  public void writeConfig(int offset, int width, long value) throws IOException {
    device.write(offset, width, value);
  }

  @Override
  public int configGeneration() throws IOException {
    return (int) common.read(CONFIG_GENERATION, 1);
  }

  @Override
  public int queueCount() throws IOException {
    return (int) common.read(NUM_QUEUES, 2);
  }

  private void select(int queue) throws IOException {
    common.write(QUEUE_SELECT, 2, queue);
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    Integer known = maxSizes.get(queue);
    if (known != null) {
      return known;
    }
    select(queue);
    return (int) common.read(QUEUE_SIZE, 2);
  }

  @Override
  public boolean isQueueEnabled(int queue) throws IOException {
    select(queue);
    return common.read(QUEUE_ENABLE, 2) != 0;
  }

  @Override
  public void configureQueue(int queue, QueueLayout layout, boolean wideNotifications)
      throws IOException {
    maxSizes.put(queue, queueMaxSize(queue));
    select(queue);
    findNotifier(queue, wideNotifications ? 4 : 2);
    common.write(QUEUE_SIZE, 2, layout.size());
    writeAddress(QUEUE_DESC, layout.descriptorArea());
    writeAddress(QUEUE_DRIVER, layout.driverArea());
    writeAddress(QUEUE_DEVICE, layout.deviceArea());
  }

  private void writeAddress(int offset, long address) throws IOException {
    common.write(offset, 4, address & 0xffff_ffffL);
    common.write(offset + 4, 4, address >>> WORD_BITS);
  }

  private void findNotifier(int queue, int width) throws IOException {
    long place = common.read(QUEUE_NOTIFY_OFF, 2) * multiplier; // 48 bits
    if (!notifier.has(place, width) || (notifier.base() + place) % width != 0) {
      throw new DeviceAnswerException(
          String.format(
              "%s, queue %d: notified with %d bytes at 0x%x of a structure of 0x%x at 0x%x",
              name(), queue, width, place, notifier.length(), notifier.base()));
    }
    long[] next = Arrays.copyOf(places, Math.max(places.length, queue + 1));
    Arrays.fill(next, places.length, next.length, NO_PLACE);
    next[queue] = place;
    places = next;
  }

  @Override
  public void enableQueue(int queue) throws IOException {
    select(queue);
    common.write(QUEUE_ENABLE, 2, 1);
  }

  @Override
  public void startQueueReset(int queue) throws IOException {
    select(queue);
    common.write(QUEUE_RESET, 2, 1);
  }

  @Override
  public boolean isQueueResetting(int queue) throws IOException {
    select(queue);
    return common.read(QUEUE_RESET, 2) != 0;
  }

  @Override
  public int notificationConfigData(int queue) throws IOException {
    select(queue);
    return (int) common.read(QUEUE_NOTIF_CONFIG_DATA, 2);
  }

  @Override
  public void notifyQueue(int queue, int value, boolean wide) throws IOException {
    if (wide) {
      notifier.write(places[queue], 4, value & 0xffff_ffffL);
    } else {
      notifier.write(places[queue], 2, value & 0xffff);
    }
  }
}
