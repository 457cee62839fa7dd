// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.RegisterTransport;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/**
 * A driver's way to a virtio device behind memory mapped registers: version 2, or version 1, which
 * is the legacy interface (virtio 1.4, Virtio Over MMIO).
 */
public final class MmioDriverTransport extends RegisterTransport {
  /** A transport with the {@linkplain MmioDriverOptions#defaults usual} options. */
  public MmioDriverTransport(MmioAccess access) throws IOException {
    this(access, MmioDriverOptions.defaults());
  }

  /**
   * Looks what the registers are those of. The device is as it was left: reset it.
   *
   * @param access belongs to the transport from now on; closed also when this fails
   * @throws DeviceAnswerException when there is no virtio device, or none of a version that is
   *     known
   * @throws IOException when the registers cannot be reached
   */
  public MmioDriverTransport(MmioAccess access, MmioDriverOptions options) throws IOException {
    super(open(access, options), options.resetDeadline());
  }

  /**
   * Which device type is there.
   *
   * @return its virtio device id; 0 for a place without a device, or with none that this transport
   *     can drive, which is no error. No other register was accessed then
   * @throws IOException when the registers cannot be reached
   */
  public static int deviceIdAt(RegisterWindow registers) throws IOException {
    MmioIdentity found = MmioIdentity.read(registers);
    return found.problem() == null ? found.deviceId() : 0;
  }

  private static MmioRegisters open(MmioAccess access, MmioDriverOptions options)
      throws IOException {
    boolean done = false;
    try {
      MmioIdentity found = MmioIdentity.read(access.registers());
      if (found.problem() != null) {
        throw new DeviceAnswerException(access.name() + ": " + found.problem());
      }
      MmioRegisters registers =
          found.isLegacy()
              ? new MmioLegacyRegisters(access, found, options)
              : new MmioModernRegisters(access, found, options);
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
