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
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;

/** Block devices, wherever they are. */
final class Disks {
  private static final Logger LOG = System.getLogger(Disks.class.getName());

  private Disks() {}

  /**
   * A disk and the way to it.
   *
   * @param driver drives it
   */
  record OpenDisk(BlkDriver driver, Place.Link link) implements AutoCloseable {
    @Override
    public void close() {
      driver.close();
      link.close();
    }
  }

  /**
   * Connects to a block device and starts driving it. The owners among the options must be at work,
   * except the calling thread.
   *
   * @param rings which features of the rings may be used
   * @throws CliException when there is none, in words for the user
   */
  static OpenDisk open(Place place, Place.Need need, BlkDriverOptions options, RingChoice rings)
      throws CliException {
    Place.Link link = place.connect(DeviceType.BLOCK, need);
    boolean done = false;
    try {
      FeatureBits features = rings.of(DriverDevice.ringFeatures());
      DriverDevice device = new DriverDevice(link.transport(), features);
      BlkDriver driver = start(device, options);
      done = true;
      return new OpenDisk(driver, link);
    } catch (IOException e) {
      throw place.connecting(e);
    } finally {
      if (!done) {
        link.close();
      }
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
