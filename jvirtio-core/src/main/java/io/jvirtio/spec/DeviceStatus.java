// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.StringJoiner;

/** The device status field (virtio 1.4, Basic Facilities / Device Status Field). */
public final class DeviceStatus {
  /** The driver has found the device. */
  public static final int ACKNOWLEDGE = 1;

  /** The driver knows how to drive the device. */
  public static final int DRIVER = 2;

  /** The driver is set up and ready. */
  public static final int DRIVER_OK = 4;

  /** Feature negotiation is complete. */
  public static final int FEATURES_OK = 8;

  /** The driver has suspended the device. */
  public static final int SUSPEND = 16;

  /** The device has met an error from which it cannot recover. */
  public static final int DEVICE_NEEDS_RESET = 64;

  /** The driver has given up. */
  public static final int FAILED = 128;

  private static final int[] BITS = {
    ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED
  };
  private static final String[] NAMES = {
    "ACKNOWLEDGE", "DRIVER", "DRIVER_OK", "FEATURES_OK", "SUSPEND", "DEVICE_NEEDS_RESET", "FAILED"
  };

  private DeviceStatus() {}

  /** The names of the bits that are set, joined by {@code |}; {@code 0} for none. */
  public static String describe(int status) {
    if (status == 0) {
      return "0";
    }
    StringJoiner names = new StringJoiner("|");
    int rest = status;
    for (int i = 0; i < BITS.length; i++) {
      if ((status & BITS[i]) != 0) {
        names.add(NAMES[i]);
        rest &= ~BITS[i];
      }
    }
    if (rest != 0) {
      names.add(String.format("0x%x", rest));
    }
    return names.toString();
  }
}
