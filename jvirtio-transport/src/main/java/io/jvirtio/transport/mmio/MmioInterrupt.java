// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

/**
 * The interrupt line of a {@link MmioDevice}, to whoever emulates the machine (virtio 1.4,
 * Notifications From The Device).
 */
@FunctionalInterface
public interface MmioInterrupt {
  /**
   * The level of the line has changed. It goes down between two interrupts, however near they are,
   * so that an edge works as well as a level. Called on any thread, but never twice at a time; must
   * not wait. Registers may be accessed from here.
   *
   * @param asserted whether the interrupt status is not 0
   */
  void level(boolean asserted);
}
