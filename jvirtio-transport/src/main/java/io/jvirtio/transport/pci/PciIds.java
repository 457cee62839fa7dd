// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.spec.DeviceType;

/** By what drivers and people tell virtio devices on PCI (virtio 1.4, PCI Device Discovery). */
final class PciIds {
  /** The vendor id of all virtio devices. */
  static final int VENDOR = 0x1af4;

  private static final int MODERN = 0x1040;

  /** What no type of the specification has: for experiments. */
  private static final int TRANSITIONAL_OTHER = 0x103f;

  private static final int LAST_MODERN = 0x3f;

  private PciIds() {}

  /** The PCI device id of a type. */
  static int device(int type, PciProfile profile) {
    if (type < 1 || type > LAST_MODERN) {
      throw new IllegalArgumentException("device type " + type + " has no PCI device id");
    }
    return profile == PciProfile.MODERN ? MODERN + type : transitional(type);
  }

  private static int transitional(int type) {
    DeviceType known = DeviceType.of(type);
    return switch (known) {
      case null -> TRANSITIONAL_OTHER;
      case NETWORK -> 0x1000;
      case BLOCK -> 0x1001;
      case MEMORY_BALLOON -> 0x1002;
      case CONSOLE -> 0x1003;
      case SCSI_HOST -> 0x1004;
      case ENTROPY -> 0x1005;
      case NINE_P -> 0x1009;
      default ->
          throw new IllegalArgumentException(
              known.shortName() + " devices have no legacy interface on PCI");
    };
  }

  /**
   * The class code: base class, subclass and interface in 24 bits. They are those that QEMU's
   * devices have, for a block device that of a SCSI controller: drivers and firmware go by the ids,
   * but what sorts devices by their class has met virtio there.
   */
  static int classCode(int type) {
    return switch (DeviceType.of(type)) {
      case BLOCK, SCSI_HOST -> 0x01_00_00;
      case FILE_SYSTEM -> 0x01_80_00;
      case NETWORK -> 0x02_00_00;
      case GPU -> 0x03_80_00;
      case SOUND -> 0x04_01_00;
      case CONSOLE, SOCKET -> 0x07_80_00;
      case INPUT -> 0x09_80_00;
      case NINE_P -> 0x00_02_00;
      case null, default -> 0x00_ff_00;
    };
  }
}
