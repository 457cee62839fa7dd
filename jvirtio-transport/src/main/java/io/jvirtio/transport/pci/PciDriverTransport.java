// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.RegisterTransport;
import java.io.IOException;

/**
 * A driver's way to a virtio device on PCI, by its modern or its legacy interface (virtio 1.4,
 * Virtio Over PCI Bus).
 */
public final class PciDriverTransport extends RegisterTransport {
  /** A transport with the {@linkplain PciDriverOptions#defaults usual} options. */
  public PciDriverTransport(PciAccess access) throws IOException {
    this(access, PciDriverOptions.defaults());
  }

  /**
   * Finds the interface of a function, makes it answer and lets it access memory. The device is as
   * it was left: reset it.
   *
   * @param access belongs to the transport from now on; closed also when this fails
   * @throws IOException when the function is no virtio device, lacks the interface that is wanted,
   *     or cannot be reached
   */
  public PciDriverTransport(PciAccess access, PciDriverOptions options) throws IOException {
    super(open(access, options), options.resetDeadline());
  }

  private static PciRegisters open(PciAccess access, PciDriverOptions options) throws IOException {
    boolean done = false;
    try {
      PciHeader header = new PciHeader(access.name(), access.config());
      header.virtioId();
      PciCapabilities capabilities = PciRegisters.wake(access, header);
      // As Linux does: a device that lists no common configuration is a legacy device.
      boolean modern = !capabilities.structures(PciCapabilities.COMMON).isEmpty();
      boolean legacy =
          switch (options.choice()) {
            case MODERN -> false;
            case LEGACY -> true;
            case MODERN_FIRST -> !modern;
          };
      PciRegisters registers =
          legacy
              ? PciLegacyRegisters.open(access, header, capabilities, options)
              : PciModernRegisters.open(access, header, capabilities, options);
      done = true;
      return registers;
    } catch (DeviceAnswerException answer) {
      throw answer;
    } catch (IOException unreachable) {
      throw new IOException(
          access.name() + " cannot be reached: " + unreachable.getMessage(), unreachable);
    } finally {
      if (!done) {
        access.close();
      }
    }
  }
}
