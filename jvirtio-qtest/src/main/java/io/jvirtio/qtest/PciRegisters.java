// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

/** Offsets in the configuration space of a PCI function (PCI Local Bus Specification, 6). */
final class PciRegisters {
  static final int VENDOR = 0x00;
  static final int DEVICE = 0x02;
  static final int COMMAND = 0x04;
  static final int STATUS = 0x06;
  static final int HEADER_TYPE = 0x0e;
  static final int BAR = 0x10;
  static final int SUBSYSTEM = 0x2e;
  static final int CAPABILITIES = 0x34;
  static final int INTERRUPT_PIN = 0x3d;

  static final int COMMAND_IO = 1;
  static final int COMMAND_MEMORY = 2;
  static final int COMMAND_MASTER = 4;
  static final int COMMAND_INTX_OFF = 1 << 10;
  static final int STATUS_CAPABILITIES = 1 << 4;

  static final int HEADER_BRIDGE = 1;
  static final int HEADER_MULTIFUNCTION = 0x80;

  // Of a bridge only (PCI-to-PCI Bridge Architecture Specification, 3.2).
  static final int BRIDGE_BUSES = 0x18;
  static final int BRIDGE_IO = 0x1c;
  static final int BRIDGE_MEMORY = 0x20;
  static final int BRIDGE_PREFETCHABLE = 0x24;
  static final int BRIDGE_PREFETCHABLE_UPPER = 0x28;
  static final int BRIDGE_IO_UPPER = 0x30;

  static final int CAPABILITY_VENDOR = 0x09;
  static final int CAPABILITY_MSIX = 0x11;

  /** Vectors less one, in the word behind the head of that capability. */
  static final int MSIX_SIZE = 0x7ff;

  private PciRegisters() {}
}
