// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import java.io.IOException;

/**
 * A driver at work: one object for each device that it drives. Made by {@code DriverType.probe}.
 *
 * <p>{@link DriverDevice} calls these, one at a time for one device, never on a queue's owner. It
 * keeps other control operations on the device waiting meanwhile, so a driver must not wait for a
 * thread that needs one; but it may call all of them itself.
 */
public interface Driver {
  /** The device is live (DRIVER_OK): a driver that looks for what is behind its device does so. */
  default void scan() throws IOException {}

  /**
   * The device's configuration has changed; several changes may be told as one. Never before {@link
   * #scan}, nor between {@link #freeze} and the end of {@link #restore}.
   */
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
   * @throws IOException when the driver cannot; if it has not reset the device, it goes on as
   *     before
   */
  void freeze() throws IOException;

  /**
   * The device was negotiated again, with the features it had: sets up the queues and goes on. The
   * device is told DRIVER_OK afterwards.
   *
   * <p>The configuration may be another, without {@link #configurationChanged}.
   *
   * @throws IOException when the device is not what it was. The driver is then as after {@link
   *     #freeze}: it does not touch the queues any more, and this may be called again
   */
  void restore() throws IOException;
}
