// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

/**
 * One line of a driver's id table.
 *
 * @param device the virtio device id, or {@link #ANY}
 * @param vendor the vendor id, or {@link #ANY}
 */
public record DeviceId(int device, int vendor) {
  /** Matches every number. */
  public static final int ANY = -1;

  /** A device type of any vendor. */
  public static DeviceId ofDevice(int device) {
    return new DeviceId(device, ANY);
  }

  /** Whether a device is meant. Id 0 is no device (virtio 1.4, Device Types): never. */
  public boolean matches(DriverTransport transport) {
    return transport.deviceId() != 0
        && (device == ANY || device == transport.deviceId())
        && (vendor == ANY || vendor == transport.vendorId());
  }
}
