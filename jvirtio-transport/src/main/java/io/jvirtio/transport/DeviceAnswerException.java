// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import java.io.IOException;

/**
 * A device can be reached, but its registers say what no device may say, or that it cannot do what
 * it is asked for. Any other {@link IOException} of a register means that the device is out of
 * reach.
 */
public final class DeviceAnswerException extends IOException {
  private static final long serialVersionUID = 1;

  /**
   * @param message which device, which register, and what it says
   */
  public DeviceAnswerException(String message) {
    super(message);
  }

  /**
   * @param message which device, and what it cannot do
   */
  public DeviceAnswerException(String message, Throwable cause) {
    super(message, cause);
  }
}
