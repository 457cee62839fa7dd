// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;

/** An echo device behind the transport, and a driver for each of its queues. */
final class Bench extends EchoBench {
  final InProcessTransport transport;
  private final QueueOwner deviceOwner;

  /** Both sides on the calling thread, one queue. */
  static Bench inline(InProcessOptions options) {
    InlineOwner owner = new InlineOwner();
    return new Bench(1, owner, owner, options);
  }

  /** The usual options, with rings of one format only. */
  static InProcessOptions options(RingFormat format) {
    return InProcessOptions.defaults().withRingFeatures(format.applyTo(DeviceHost.ringFeatures()));
  }

  Bench(int queues, QueueOwner deviceOwner, QueueOwner owner, InProcessOptions options) {
    super(new EchoDevice(queues), owner);
    this.deviceOwner = deviceOwner;
    transport = new InProcessTransport(device, deviceOwner, options);
    transport.setListener(recorder);
  }

  @Override
  DriverTransport transport() {
    return transport;
  }

  @Override
  DeviceHost host() {
    return transport.host();
  }

  @Override
  Bench start(int depth) throws IOException {
    start(depth, transport.deviceFeatures().without(EchoDevice.REFUSED_FEATURE));
    return this;
  }

  QueueOwner deviceOwner() {
    return deviceOwner;
  }

  @Override
  public void close() {
    transport.close();
    transport.deleteQueues();
  }
}
