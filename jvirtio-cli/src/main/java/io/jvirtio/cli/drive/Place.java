// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.spec.DeviceType;
import java.io.IOException;

/** Where a device is: how to get to it, and what to say when that fails. */
interface Place {
  /**
   * What a driver will need there.
   *
   * @param memory bytes that are shared from the start
   * @param growth bytes by which that grows, where it can
   * @param queueSize the largest size of a queue that is useful; 0 for the usual one
   */
  record Need(long memory, long growth, int queueSize) {}

  /**
   * A way to a device.
   *
   * @param transport is closed before this
   */
  record Link(DriverTransport transport, Runnable rest) implements AutoCloseable {
    /** Ends what the transport goes through. */
    @Override
    public void close() {
      rest.run();
    }
  }

  /**
   * Connects to a device of a type.
   *
   * @throws CliException when there is none, in words for the user
   */
  Link connect(DeviceType type, Need need) throws CliException;

  /** Explains a failure of the first messages. */
  CliException connecting(IOException e);

  /** Explains a failure of a connection that worked. */
  default CliException talking(Exception e) {
    return Refusals.talking(e, toString());
  }

  /** For messages. */
  @Override
  String toString();
}
