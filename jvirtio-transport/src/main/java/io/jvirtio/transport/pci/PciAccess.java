// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * How a driver reaches one PCI function: its configuration space, its BARs, memory it can reach,
 * and its interrupts. What implements it has enumerated the bus and given the BARs their addresses;
 * {@link PciDriverTransport} does the rest. Control thread only, the windows aside.
 */
public interface PciAccess extends AutoCloseable {
  /** Where the function is, for people: such as {@code 0000:00:05.0}. Any thread. */
  String name();

  /** The configuration space, 256 or 4096 bytes. */
  RegisterWindow config();

  /**
   * Maps a BAR, of I/O or of memory.
   *
   * @param index 0 to 5
   * @throws IOException when there is none, or it has no address
   */
  RegisterWindow bar(int index) throws IOException;

  /**
   * Maps a part of a memory BAR as memory, for shared memory regions.
   *
   * @return valid until the access is closed; null when that cannot be done here
   */
  default MemorySegment map(int bar, long offset, long bytes) throws IOException {
    return null;
  }

  /** Memory that the function reaches once it is bus master. Any thread. */
  DriverMemory memory();

  /**
   * Enables MSI-X, with a handler for each vector from 0 on; the others stay masked.
   *
   * @param handlers run one after the other on a thread that may read and write registers, and do
   *     not block otherwise
   * @throws IOException when the function has too few vectors, or the system gives too few; nothing
   *     has changed then
   */
  void enableMsix(List<Runnable> handlers) throws IOException;

  /**
   * Enables the function's interrupt pin.
   *
   * @param handler runs while the pin is asserted, on a thread as in {@link #enableMsix}; it is to
   *     make the function let go of the pin
   * @throws IOException when the function has none, or the system does not know where it leads
   */
  void enableIntx(Runnable handler) throws IOException;

  /** Ends {@link #enableMsix} and {@link #enableIntx}: when it returns, no handler runs. */
  void disableInterrupts() throws IOException;

  /** Lets go of the function and of the memory. Idempotent. Any thread. */
  @Override
  void close();
}
