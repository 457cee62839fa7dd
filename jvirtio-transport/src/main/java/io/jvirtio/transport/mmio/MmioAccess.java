// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/**
 * How a driver reaches one virtio-mmio device: its registers, memory it can reach, its interrupt.
 * Control thread only, the window aside.
 */
public interface MmioAccess extends AutoCloseable {
  /** Where the device is, for people: such as {@code mmio@0xfeb00e00}. Any thread. */
  String name();

  /** The registers, 512 bytes or however many there are. */
  RegisterWindow registers();

  /**
   * Maps device memory, for shared memory regions.
   *
   * @param address physical
   * @return valid until the access is closed; null when that cannot be done here
   */
  default MemorySegment map(long address, long bytes) throws IOException {
    return null;
  }

  /** Memory that the device reaches. Any thread. */
  DriverMemory memory();

  /**
   * Enables the device's interrupt.
   *
   * @param handler runs while the interrupt is asserted, on a thread that may read and write
   *     registers; it is to make the device let go of the interrupt
   */
  void enableInterrupt(Runnable handler) throws IOException;

  /** Ends {@link #enableInterrupt}: when it returns, the handler does not run. */
  void disableInterrupt() throws IOException;

  /** Lets go of the device and of the memory. Idempotent. Any thread. */
  @Override
  void close();
}
