// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

/**
 * Which interfaces a PCI device has (virtio 1.4, Legacy Interface: A Note on PCI Device Layout).
 */
public enum PciProfile {
  /** Only the one of virtio 1.0 and later: device id 0x1040 and up. */
  MODERN,
  /** Both: a transitional device id, the legacy interface in an I/O BAR 0. */
  TRANSITIONAL,
  /** Only the legacy one, as devices before virtio 1.0. */
  LEGACY
}
