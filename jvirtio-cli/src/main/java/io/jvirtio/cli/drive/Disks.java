// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.RingChoice;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.drivers.blk.BlkDriverType;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;

/** Block devices behind sockets. */
final class Disks {
  private static final Logger LOG = System.getLogger(Disks.class.getName());

  private Disks() {}

  /**
   * Connects to a block device and starts driving it. The owners among the options must be at work,
   * except the calling thread.
   *
   * @param rings which features of the rings may be used
   * @throws CliException when there is none, in words for the user
   */
  static BlkDriver open(
      Path socket, VhostUserFrontEndOptions how, BlkDriverOptions options, RingChoice rings)
      throws CliException {
    try {
      VhostUserTransport transport = VhostUserTransport.connect(socket, DeviceType.BLOCK.id(), how);
      boolean done = false;
      try {
        checkType(transport, socket);
        done = true;
      } finally {
        if (!done) {
          transport.close();
        }
      }
      return start(new DriverDevice(transport, rings.of(DriverDevice.ringFeatures())), options);
    } catch (IOException e) {
      throw Refusals.connecting(e, socket);
    }
  }

  private static BlkDriver start(DriverDevice device, BlkDriverOptions options) throws IOException {
    try {
      return (BlkDriver) device.start(new BlkDriverType(options));
    } catch (IOException | RuntimeException | Error e) {
      device.close();
      throw e;
    }
  }

  /** What is surely no disk must not be written to as one. */
  private static void checkType(VhostUserTransport transport, Path socket)
      throws IOException, CliException {
    Probe probe = Probe.of(transport, null);
    if (probe.isSurelyNot(DeviceType.BLOCK)) {
      throw new CliException(
          "the device at "
              + socket
              + " is no block device, but most likely of type "
              + probe.type().shortName()
              + ": see jvirtio probe --socket-path="
              + socket);
    }
  }

  /** An owner of queues that the calling thread runs. */
  static EventLoop loop(LoopMode mode) throws CliException {
    try {
      return EventLoop.onCaller(
          mode,
          EventLoop.DEFAULT_POLL_WINDOW,
          (source, fault) -> LOG.log(Level.ERROR, "on the owner of a queue", fault));
    } catch (LinuxException e) {
      throw new CliException(e.getMessage(), e);
    }
  }
}
