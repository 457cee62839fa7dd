// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.rng;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverType;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.time.Duration;
import java.util.List;

/**
 * Drivers of entropy devices as a bus makes them. Immutable.
 *
 * @param owner of their queues
 * @param timeout how long a device may take for an answer
 */
public record RngDriverType(QueueOwner owner, Duration timeout) implements DriverType {
  /** Answers must come in 10 seconds. */
  public RngDriverType(QueueOwner owner) {
    this(owner, Duration.ofSeconds(10));
  }

  @Override
  public String name() {
    return "virtio-rng";
  }

  @Override
  public List<DeviceId> ids() {
    return List.of(DeviceId.ofDevice(DeviceType.ENTROPY.id()));
  }

  @Override
  public FeatureBits features() {
    return FeatureBits.NONE;
  }

  @Override
  public Driver probe(DriverDevice device) throws IOException {
    return new RngDriver(device, owner, timeout);
  }
}
