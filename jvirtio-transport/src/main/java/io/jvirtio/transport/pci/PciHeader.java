// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/** The configuration space of a function as its driver reads it: by the PCI specification. */
final class PciHeader {
  /** Command: answers accesses to I/O BARs. */
  static final int COMMAND_IO = 1;

  /** Command: answers accesses to memory BARs. */
  static final int COMMAND_MEMORY = 2;

  /** Command: may access memory itself. */
  static final int COMMAND_MASTER = 4;

  /** Command: may not assert its interrupt pin. */
  static final int COMMAND_INTX_DISABLE = 0x400;

  static final int BAR_COUNT = 6;

  private static final int VENDOR = 0x1af4;
  private static final int FIRST_TRANSITIONAL = 0x1000;
  private static final int MODERN = 0x1040;
  private static final int LAST_MODERN = 0x107f;

  private static final int VENDOR_ID = 0x00;
  private static final int DEVICE_ID = 0x02;
  private static final int COMMAND = 0x04;
  private static final int STATUS = 0x06;
  private static final int BARS = 0x10;
  private static final int SUBSYSTEM_VENDOR = 0x2c;
  private static final int SUBSYSTEM = 0x2e;
  private static final int CAPABILITIES = 0x34;
  private static final int INTERRUPT_PIN = 0x3d;

  private static final int STATUS_CAPABILITIES = 0x10;
  private static final int BAR_IO = 1;
  private static final int NOTHING = 0xffff;

  private final String name;
  private final RegisterWindow config;

  PciHeader(String name, RegisterWindow config) {
    this.name = name;
    this.config = config;
  }

  int u8(int offset) throws IOException {
    return (int) config.read(offset, 1) & 0xff;
  }

  int u16(int offset) throws IOException {
    return (int) config.read(offset, 2) & 0xffff;
  }

  long u32(int offset) throws IOException {
    return config.read(offset, 4) & 0xffff_ffffL;
  }

  /** Throws unless there is a function that this is the configuration space of. */
  void checkPresent() throws IOException {
    if (u16(VENDOR_ID) == NOTHING) {
      throw new IOException("its vendor id reads as all ones");
    }
  }

  /**
   * The virtio device id, 1 to 63 or whatever a transitional device says (virtio 1.4, PCI Device
   * Discovery).
   *
   * @throws DeviceAnswerException for what is no virtio device
   */
  int virtioId() throws IOException {
    checkPresent();
    int vendor = u16(VENDOR_ID);
    int device = u16(DEVICE_ID);
    if (vendor != VENDOR || device < FIRST_TRANSITIONAL || device > LAST_MODERN) {
      throw new DeviceAnswerException(
          String.format("%s is no virtio device: %04x:%04x", name, vendor, device));
    }
    int id = device < MODERN ? u16(SUBSYSTEM) : device - MODERN;
    if (id == 0) {
      throw new DeviceAnswerException(
          String.format("%s does not say what it is: %04x, type 0", name, device));
    }
    return id;
  }

  /** Whether its id says that it has the legacy interface; any revision will do. */
  boolean isTransitional() throws IOException {
    return u16(DEVICE_ID) < MODERN;
  }

  int subsystemVendor() throws IOException {
    return u16(SUBSYSTEM_VENDOR);
  }

  boolean isIoBar(int index) throws IOException {
    return (u32(BARS + 4 * index) & BAR_IO) != 0;
  }

  boolean hasInterruptPin() throws IOException {
    return u8(INTERRUPT_PIN) != 0;
  }

  /** Where the first capability is; 0 for none. */
  int firstCapability() throws IOException {
    return (u16(STATUS) & STATUS_CAPABILITIES) == 0 ? 0 : u8(CAPABILITIES);
  }

  /** Sets and clears bits of the command register. */
  void command(int set, int clear) throws IOException {
    int now = u16(COMMAND);
    int wanted = now & ~clear | set;
    if (wanted != now) {
      config.write(COMMAND, 2, wanted);
    }
  }
}
