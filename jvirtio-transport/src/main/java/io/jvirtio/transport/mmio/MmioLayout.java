// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

/**
 * Where the registers are (virtio 1.4, MMIO Device Register Layout; Legacy interface). All have 32
 * bits.
 */
final class MmioLayout {
  static final int MAGIC_VALUE = 0x000;
  static final int VERSION = 0x004;
  static final int DEVICE_ID = 0x008;
  static final int VENDOR_ID = 0x00c;
  static final int DEVICE_FEATURES = 0x010;
  static final int DEVICE_FEATURES_SEL = 0x014;
  static final int DRIVER_FEATURES = 0x020;
  static final int DRIVER_FEATURES_SEL = 0x024;

  /** Legacy only. */
  static final int GUEST_PAGE_SIZE = 0x028;

  static final int QUEUE_SEL = 0x030;
  static final int QUEUE_SIZE_MAX = 0x034;
  static final int QUEUE_SIZE = 0x038;

  /** Legacy only. */
  static final int QUEUE_ALIGN = 0x03c;

  /** Legacy only. */
  static final int QUEUE_PFN = 0x040;

  static final int QUEUE_READY = 0x044;
  static final int QUEUE_NOTIFY = 0x050;
  static final int INTERRUPT_STATUS = 0x060;
  static final int INTERRUPT_ACK = 0x064;
  static final int STATUS = 0x070;
  static final int QUEUE_DESC_LOW = 0x080;
  static final int QUEUE_DESC_HIGH = 0x084;
  static final int QUEUE_DRIVER_LOW = 0x090;
  static final int QUEUE_DRIVER_HIGH = 0x094;
  static final int QUEUE_DEVICE_LOW = 0x0a0;
  static final int QUEUE_DEVICE_HIGH = 0x0a4;
  static final int SHM_SEL = 0x0ac;
  static final int SHM_LEN_LOW = 0x0b0;
  static final int SHM_LEN_HIGH = 0x0b4;
  static final int SHM_BASE_LOW = 0x0b8;
  static final int SHM_BASE_HIGH = 0x0bc;
  static final int QUEUE_RESET = 0x0c0;
  static final int CONFIG_GENERATION = 0x0fc;

  /** The device-specific configuration space, to the end. */
  static final int CONFIG = 0x100;

  /** Value of {@link #MAGIC_VALUE}: "virt". */
  static final int MAGIC = 0x74726976;

  static final int LEGACY_VERSION = 1;
  static final int MODERN_VERSION = 2;

  private MmioLayout() {}
}
