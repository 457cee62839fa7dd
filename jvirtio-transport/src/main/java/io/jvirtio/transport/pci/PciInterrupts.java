// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

/**
 * Where a {@link PciFunction} sends its interrupts. Called on any thread, also while a register of
 * the function is written; must neither block nor throw.
 */
public interface PciInterrupts {
  /** The level of INTA#. Calls come one after the other; equal levels may repeat. */
  void intx(boolean asserted);

  /**
   * A vector of MSI-X fires.
   *
   * @param vector its number in the table
   * @param address where the message is to be written; 0 when the table is kept elsewhere ({@link
   *     PciOptions#externalMsix})
   * @param data what is to be written there
   */
  void msix(int vector, long address, int data);
}
