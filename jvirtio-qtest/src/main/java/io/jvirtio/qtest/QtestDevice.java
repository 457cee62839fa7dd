// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

/**
 * A virtio device of a machine. Immutable.
 *
 * @param bus what it is on
 * @param address where: 0000:00:05.0, or mmio@0xfeb00e00
 * @param deviceId virtio device id (virtio 1.4, Device Types), not 0
 * @param modern whether it has the interface of virtio 1.0 and later
 * @param legacy whether it has the legacy interface
 */
public record QtestDevice(Bus bus, String address, int deviceId, boolean modern, boolean legacy) {
  /** What devices are on. */
  public enum Bus {
    /** Opened by {@link QtestMachine#openPci}. */
    PCI,
    /** Opened by {@link QtestMachine#openMmio}. */
    MMIO
  }

  /** Which interfaces it has, in the words of the specification. */
  public String interfaces() {
    if (modern) {
      return legacy ? "transitional" : "modern";
    }
    return legacy ? "legacy" : "none";
  }
}
