// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/** Device types and their ids (virtio 1.4, Device Types). */
public enum DeviceType {
  NETWORK(1, "net"),
  BLOCK(2, "blk"),
  CONSOLE(3, "console"),
  ENTROPY(4, "rng"),
  MEMORY_BALLOON(5, "balloon"),
  SCSI_HOST(8, "scsi"),
  GPU(16, "gpu"),
  INPUT(18, "input"),
  SOCKET(19, "vsock"),
  CRYPTO(20, "crypto"),
  IOMMU(23, "iommu"),
  MEMORY(24, "mem"),
  SOUND(25, "sound"),
  FILE_SYSTEM(26, "fs"),
  PMEM(27, "pmem"),
  RPMB(28, "rpmb"),
  SCMI(32, "scmi"),
  I2C(34, "i2c"),
  CAN(36, "can"),
  GPIO(41, "gpio");

  private final int id;
  private final String shortName;

  DeviceType(int id, String shortName) {
    this.id = id;
    this.shortName = shortName;
  }

  /** The virtio device id. */
  public int id() {
    return id;
  }

  /** The customary short name, as in {@code virtio-blk}. */
  public String shortName() {
    return shortName;
  }

  /** The type with this id, or null when the specification names none. */
  public static DeviceType of(int id) {
    for (DeviceType type : values()) {
      if (type.id == id) {
        return type;
      }
    }
    return null;
  }
}
