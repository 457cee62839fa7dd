// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.queue.QueueLayout;
import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/**
 * The legacy interface, in the I/O BAR 0 (virtio 1.4, Legacy Interfaces: A Note on PCI Device
 * Layout).
 */
final class PciLegacyRegisters extends PciRegisters {
  private static final int DEVICE_FEATURES = 0;
  private static final int DRIVER_FEATURES = 4;
  private static final int QUEUE_ADDRESS = 8;
  private static final int QUEUE_SIZE = 12;
  private static final int QUEUE_SELECT = 14;
  private static final int QUEUE_NOTIFY = 16;
  private static final int DEVICE_STATUS = 18;
  private static final int ISR_STATUS = 19;
  private static final int CONFIG_VECTOR = 20;
  private static final int QUEUE_VECTOR = 22;
  private static final int CONFIG = 20;
  private static final int CONFIG_WITH_MSIX = 24;

  private static final int PAGE_SHIFT = 12;

  private final RegisterArea bar;
  private final boolean bigEndian;

  /** Page numbers of queues that are not enabled yet. */
  private final Map<Integer, Long> pages = new HashMap<>();

  private PciLegacyRegisters(
      PciAccess access,
      PciHeader header,
      PciCapabilities capabilities,
      PciDriverOptions options,
      RegisterArea bar)
      throws IOException {
    super(access, header, capabilities, options, new Events(bar));
    this.bar = bar;
    this.bigEndian = options.bigEndian();
  }

  /**
   * The legacy interface of a function.
   *
   * @throws DeviceAnswerException when it has none
   */
  static PciLegacyRegisters open(
      PciAccess access, PciHeader header, PciCapabilities capabilities, PciDriverOptions options)
      throws IOException {
    if (!header.isTransitional()) {
      throw new DeviceAnswerException(
          access.name() + " has no legacy interface: its ids are those of a modern device");
    }
    if (!header.isIoBar(0)) {
      throw new DeviceAnswerException(
          access.name() + " has no legacy interface: BAR 0 is not in I/O space");
    }
    RegisterWindow window = access.bar(0);
    RegisterArea bar = new RegisterArea(access.name() + ", BAR 0", window, 0, window.size());
    if (!bar.has(CONFIG, 0)) {
      throw new DeviceAnswerException(
          access.name() + " has no legacy interface: BAR 0 has " + window.size() + " bytes");
    }
    return new PciLegacyRegisters(access, header, capabilities, options, bar);
  }

  private record Events(RegisterArea bar) implements PciVectors.Registers {
    @Override
    public int mapConfig(int vector) throws IOException {
      bar.write(CONFIG_VECTOR, 2, vector);
      return (int) bar.read(CONFIG_VECTOR, 2);
    }

    @Override
    public int mapQueue(int queue, int vector) throws IOException {
      bar.write(QUEUE_SELECT, 2, queue);
      bar.write(QUEUE_VECTOR, 2, vector);
      return (int) bar.read(QUEUE_VECTOR, 2);
    }

    @Override
    public int takeInterruptStatus() throws IOException {
      return (int) bar.read(ISR_STATUS, 1);
    }
  }

  @Override
  public boolean isLegacy() {
    return true;
  }

  @Override
  public boolean isBigEndian() {
    return bigEndian;
  }

  @Override
  public int status() throws IOException {
    int status = (int) bar.read(DEVICE_STATUS, 1);
    return status == ALL_ONES_8 ? -1 : status;
  }

  @Override
  public void writeStatus(int status) throws IOException {
    bar.write(DEVICE_STATUS, 1, status);
  }

  @Override
  public int featureWords() {
    return 1;
  }

  @Override
  public int deviceFeatures(int word) throws IOException {
    return (int) bar.read(DEVICE_FEATURES, 4);
  }

  @Override
  public void writeDriverFeatures(int word, int bits) throws IOException {
    bar.write(DRIVER_FEATURES, 4, bits & 0xffff_ffffL);
  }

  /** It moves when MSI-X is enabled. */
  private int config() {
    return isMsix() ? CONFIG_WITH_MSIX : CONFIG;
  }

  @Override
  public int configSize() {
    return Math.clamp(bar.length() - config(), 0, Integer.MAX_VALUE);
  }

  @Override
  public long readConfig(int offset, int width) throws IOException {
    return bar.read(config() + offset, width);
  }

  @Override
  public void writeConfig(int offset, int width, long value) throws IOException {
    bar.write(config() + offset, width, value);
  }

  @Override
  public int configGeneration() {
    return -1;
  }

  @Override
  public int queueCount() {
    return -1;
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    bar.write(QUEUE_SELECT, 2, queue);
    return (int) bar.read(QUEUE_SIZE, 2);
  }

  @Override
  public int legacyAlign() {
    return 1 << PAGE_SHIFT;
  }

  @Override
  public boolean isQueueEnabled(int queue) throws IOException {
    bar.write(QUEUE_SELECT, 2, queue);
    return bar.read(QUEUE_ADDRESS, 4) != 0;
  }

  /** The address is all there is to tell, and to write it enables the queue. */
  @Override
  public void configureQueue(int queue, QueueLayout layout, boolean wideNotifications)
      throws IOException {
    long address = layout.descriptorArea();
    if (address >>> PAGE_SHIFT + Integer.SIZE != 0) {
      throw new DeviceAnswerException(
          String.format(
              "%s, queue %d is at 0x%x: the legacy interface reaches no more than 2^44 bytes",
              name(), queue, address));
    }
    pages.put(queue, address >>> PAGE_SHIFT);
  }

  @Override
  public void enableQueue(int queue) throws IOException {
    bar.write(QUEUE_SELECT, 2, queue);
    bar.write(QUEUE_ADDRESS, 4, pages.remove(queue));
  }

  @Override
  public void startQueueReset(int queue) throws IOException {
    throw new DeviceAnswerException(name() + ": the legacy interface cannot reset one queue");
  }

  @Override
  public boolean isQueueResetting(int queue) {
    return false;
  }

  @Override
  public void notifyQueue(int queue, int value, boolean wide) throws IOException {
    bar.write(QUEUE_NOTIFY, 2, value & 0xffff);
  }
}
