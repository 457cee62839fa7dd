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
 * @param msixVectors how many vectors of MSI-X it has, 0 to 2048; 0 on virtio-mmio
 * @param pin its interrupt pin, 1 for INTA to 4 for INTD, or what else it says; 0 for none, and on
 *     virtio-mmio, where every device has one interrupt
 */
public record QtestDevice(
    Bus bus,
    String address,
    int deviceId,
    boolean modern,
    boolean legacy,
    int msixVectors,
    int pin) {
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
