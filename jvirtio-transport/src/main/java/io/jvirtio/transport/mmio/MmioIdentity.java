// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/**
 * What a driver reads before anything else (virtio 1.4, MMIO-specific Initialization And Device
 * Operation / Device Initialization).
 *
 * @param problem why there is no device to drive; null when there is one
 */
record MmioIdentity(int version, int deviceId, String problem) {
  private static final int MOST_IDS = 0x1_0000;

  /** Reads in the order that the specification gives, and no further than it makes sense. */
  static MmioIdentity read(RegisterWindow registers) throws IOException {
    if (registers.size() < MmioLayout.CONFIG) {
      return none("registers of only " + registers.size() + " bytes");
    }
    int magic = (int) registers.read(MmioLayout.MAGIC_VALUE, 4);
    if (magic != MmioLayout.MAGIC) {
      return none(String.format("no virtio device: the magic value is 0x%x", magic));
    }
    int version = (int) registers.read(MmioLayout.VERSION, 4);
    if (version != MmioLayout.MODERN_VERSION && version != MmioLayout.LEGACY_VERSION) {
      return none("unknown version " + Integer.toUnsignedString(version));
    }
    int id = (int) registers.read(MmioLayout.DEVICE_ID, 4);
    if (id == 0) {
      return none("a place without a device");
    }
    if (id < 0 || id >= MOST_IDS) {
      return none("no device has the id " + Integer.toUnsignedString(id));
    }
    return new MmioIdentity(version, id, null);
  }

  private static MmioIdentity none(String problem) {
    return new MmioIdentity(0, 0, problem);
  }

  boolean isLegacy() {
    return version == MmioLayout.LEGACY_VERSION;
  }
}
