// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/** The capability list of a PCI function, in a loop or not. */
final class PciCapabilities {
  private static final int VIRTIO_COMMON_CONFIG = 1;

  // As many as there is room for.
  private static final int MOST = 48;

  private PciCapabilities() {}

  /** The offset of the first capability with an id, or 0. */
  static int find(RegisterWindow config, int id) throws IOException {
    return find(config, id, -1);
  }

  /** Whether there is the interface of virtio 1.0 and later. */
  static boolean hasModernInterface(RegisterWindow config) throws IOException {
    return find(config, PciRegisters.CAPABILITY_VENDOR, VIRTIO_COMMON_CONFIG) != 0;
  }

  private static int find(RegisterWindow config, int id, int virtioType) throws IOException {
    long status = config.read(PciRegisters.STATUS, 2);
    if ((status & PciRegisters.STATUS_CAPABILITIES) == 0) {
      return 0;
    }
    int at = (int) config.read(PciRegisters.CAPABILITIES, 1) & 0xfc;
    for (int i = 0; i < MOST && at >= 0x40; i++) {
      int head = (int) config.read(at, 4);
      if ((head & 0xff) == id && (virtioType < 0 || head >>> 24 == virtioType)) {
        return at;
      }
      at = head >> 8 & 0xfc;
    }
    return 0;
  }
}
