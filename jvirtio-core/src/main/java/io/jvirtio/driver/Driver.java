// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import java.io.IOException;

/**
 * A driver at work: one object for each device that it drives. Made by {@code DriverType.probe}.
 *
 * <p>The bus calls these, one at a time for one device, never on a queue's owner.
 */
public interface Driver {
  /** The device is live (DRIVER_OK): a driver that looks for what is behind its device does so. */
  default void scan() throws IOException {}

  /** The device's configuration has changed. Never before {@link #scan}. */
  default void configurationChanged() {}

  /**
   * The device goes away, or the driver is taken from it. Requests in flight end with an error;
   * when this returns, the device was reset, its queues are deleted, and nothing of the driver
   * runs.
   */
  void remove();

  /**
   * The device will be reset and set up again: no new requests reach it, and those in flight are
   * kept to be repeated, or fail. When this returns, the device was reset and its queues are
   * deleted.
   *
   * @throws IOException when the driver cannot
   */
  void freeze() throws IOException;

  /**
   * The device was negotiated again, with the features it had: sets up the queues and goes on. The
   * bus sets DRIVER_OK afterwards.
   *
   * @throws IOException when the device is not what it was
   */
  void restore() throws IOException;
}
