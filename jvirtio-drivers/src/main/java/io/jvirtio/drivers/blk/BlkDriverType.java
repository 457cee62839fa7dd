// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverType;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.util.List;
import java.util.Objects;

/**
 * Block drivers as a bus makes them, all with the same options and so on the same owners.
 * Immutable.
 *
 * @param options of each driver
 */
public record BlkDriverType(BlkDriverOptions options) implements DriverType {
  /** Checks that there are options. */
  public BlkDriverType {
    Objects.requireNonNull(options);
  }

  @Override
  public String name() {
    return "virtio-blk";
  }

  @Override
  public List<DeviceId> ids() {
    return List.of(DeviceId.ofDevice(DeviceType.BLOCK.id()));
  }

  @Override
  public FeatureBits features() {
    return options.queues() > 1
        ? BlkInfo.FEATURES
        : BlkInfo.FEATURES.without(VirtioBlk.VIRTIO_BLK_F_MQ);
  }

  @Override
  public void validate(DriverDevice device) throws IOException {
    BlkInfo.validate(device);
  }

  @Override
  public BlkDriver probe(DriverDevice device) throws IOException {
    return new BlkDriver(device, options);
  }
}
