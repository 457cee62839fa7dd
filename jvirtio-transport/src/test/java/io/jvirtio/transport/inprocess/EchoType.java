// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverType;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * {@link EchoDriver}s for the queues of an {@link EchoDevice}, as a driver with a device object.
 */
final class EchoType implements DriverType {
  private static final int DEPTH = 10;

  private final int count;
  private final QueueOwner owner;
  final List<EchoDriver> drivers = new ArrayList<>();
  final List<DriverQueue> queues = new ArrayList<>();

  EchoType(int count, QueueOwner owner) {
    this.count = count;
    this.owner = owner;
  }

  QueueOwner owner() {
    return owner;
  }

  @Override
  public String name() {
    return "echo";
  }

  @Override
  public List<DeviceId> ids() {
    return List.of(DeviceId.ofDevice(DeviceId.ANY));
  }

  @Override
  public FeatureBits features() {
    return FeatureBits.of(EchoDevice.FEATURE);
  }

  @Override
  public Driver probe(DriverDevice device) throws IOException {
    makeQueues(device);
    return new Driver() {
      @Override
      public void remove() {
        device.resetAndDelete();
      }

      @Override
      public void freeze() {
        device.resetAndDelete();
      }

      @Override
      public void restore() throws IOException {
        makeQueues(device);
      }
    };
  }

  private void makeQueues(DriverDevice device) throws IOException {
    drivers.clear();
    queues.clear();
    for (int i = 0; i < count; i++) {
      drivers.add(new EchoDriver(device.transport(), DEPTH));
    }
    queues.addAll(device.findQueues(drivers.stream().map(d -> d.request(owner)).toList()));
  }
}
