// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.io.IOException;

/**
 * Where the interrupt pins of PCI functions end: inputs of the I/O APIC. On a pc by the PIRQ
 * routing registers of its PIIX3, which are set as firmware sets them; on a q35 as QEMU wires its
 * ICH9.
 */
final class IntxRouting {
  /** The I/O APIC of either machine, for QEMU. */
  static final String CONTROLLER = "ioapic";

  private static final long PC_HOST = 0x1237_8086L;
  private static final long Q35_HOST = 0x29c0_8086L;
  private static final PciAddress HOST = new PciAddress(0, 0, 0);
  private static final PciAddress PIIX3 = new PciAddress(0, 1, 0);
  private static final long PIIX3_ID = 0x7000_8086L;
  private static final int PIRQ = 0x60;
  private static final int[] PC_LINES = {10, 10, 11, 11};

  private IntxRouting() {}

  /**
   * The line that a pin of bus 0 leads to.
   *
   * @param device 0 to 31
   * @param pin 0 for A to 3 for D
   * @throws IOException on a machine that is neither
   */
  static int line(ConfigPorts config, int device, int pin) throws IOException {
    long host = config.read(HOST, PciRegisters.VENDOR, 4);
    if (host == PC_HOST && config.read(PIIX3, PciRegisters.VENDOR, 4) == PIIX3_ID) {
      for (int i = 0; i < PC_LINES.length; i++) {
        config.write(PIIX3, PIRQ + i, 1, PC_LINES[i]);
      }
      return PC_LINES[pin + device - 1 & 3];
    }
    if (host == Q35_HOST) {
      return q35(device, pin);
    }
    throw new IOException(
        String.format(
            "INTx: neither a pc nor a q35: its host bridge is %04x:%04x",
            host & 0xffff, host >> 16));
  }

  // QEMU's choice for what is not on the chip is PIRQ E to H, at 20 to 23; devices 25 and up are
  // wired as the chip's reset value has it, 30 as the bridge to PCI.
  private static int q35(int device, int pin) {
    if (device < 25) {
      return 20 + (device + pin & 3);
    }
    return device == 30 ? 20 + pin : 16 + pin;
  }
}
