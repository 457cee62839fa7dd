// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.driver.SharedMemoryRegion;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.DriverRegisters;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;

/** What both interfaces of a PCI device have in common, for a driver. */
abstract class PciRegisters implements DriverRegisters {
  private static final Logger LOG = System.getLogger(PciRegisters.class.getName());

  static final int ALL_ONES_8 = 0xff;

  private final PciAccess access;
  private final PciHeader header;
  private final PciCapabilities capabilities;
  private final PciVectors vectors;
  private final int deviceId;
  private final int vendorId;

  PciRegisters(
      PciAccess access,
      PciHeader header,
      PciCapabilities capabilities,
      PciDriverOptions options,
      PciVectors.Registers events)
      throws IOException {
    this.access = access;
    this.header = header;
    this.capabilities = capabilities;
    this.deviceId = header.virtioId();
    this.vendorId = header.subsystemVendor();
    this.vectors =
        new PciVectors(access, header, options.attempts(), capabilities.vectors(), events);
  }

  /**
   * Makes the function answer. It accesses no memory yet: whoever had it before may have left it
   * with queues.
   *
   * @return its capabilities
   */
  static PciCapabilities wake(PciAccess access, PciHeader header) throws IOException {
    header.command(PciHeader.COMMAND_IO | PciHeader.COMMAND_MEMORY, 0);
    PciCapabilities found = PciCapabilities.walk(header);
    if (found.msixEnabled()) {
      access.disableInterrupts(); // whoever had it before left it so
    }
    return found;
  }

  /** Whether MSI-X is enabled. */
  final boolean isMsix() {
    return vectors.isMsix();
  }

  @Override
  public final String name() {
    return access.name();
  }

  @Override
  public final int deviceId() {
    return deviceId;
  }

  @Override
  public final int vendorId() {
    return vendorId;
  }

  @Override
  public final DriverMemory memory() {
    return access.memory();
  }

  @Override
  public final void connectInterrupts(BitSet queues, Interrupts interrupts) throws IOException {
    header.command(PciHeader.COMMAND_MASTER, 0);
    vectors.connect(queues, interrupts);
  }

  @Override
  public final void reconnectQueue(int queue) throws IOException {
    vectors.mapQueue(queue);
  }

  @Override
  public final void disconnectInterrupts() throws IOException {
    vectors.disconnect();
  }

  @Override
  public final SharedMemoryRegion sharedMemoryRegion(int id) throws IOException {
    for (PciCapabilities.Structure s : capabilities.structures(PciCapabilities.SHARED_MEMORY)) {
      if (s.id() == id) {
        long there = access.bar(s.bar()).size();
        if (s.length() <= 0 || s.offset() < 0 || s.length() > there - s.offset()) {
          throw new DeviceAnswerException(
              name() + ", shared memory region " + id + ": " + s + ", which has " + there);
        }
        MemorySegment segment = access.map(s.bar(), s.offset(), s.length());
        return segment == null ? null : new SharedMemoryRegion(id, segment);
      }
    }
    return null;
  }

  @Override
  public final void reconnect() throws IOException {
    header.checkPresent();
    wake(access, header);
  }

  @Override
  public final void close() {
    try {
      // The function reaches no memory any more, whatever it still wants.
      header.command(0, PciHeader.COMMAND_MASTER);
    } catch (IOException gone) {
      LOG.log(Level.DEBUG, "{0} is gone already: {1}", name(), gone.getMessage());
    }
    access.close();
  }
}
