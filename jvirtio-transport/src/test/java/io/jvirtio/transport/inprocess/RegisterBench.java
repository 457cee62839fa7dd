// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.transport.RegisterTransport;
import java.io.IOException;

/** An echo device behind registers, and a driver for each of its queues. */
final class RegisterBench extends EchoBench {
  /** A type that nobody has defined, so that it may have a legacy interface. */
  static final int DEVICE_ID = 0x3e;

  final RegisterPair pair;
  final RegisterTransport transport;

  /** Both sides on the calling thread. */
  static RegisterBench inline(RegisterKind kind, int queues) throws IOException {
    InlineOwner owner = new InlineOwner();
    return new RegisterBench(queues, owner, owner, kind);
  }

  static RegisterBench inline(RegisterKind kind) throws IOException {
    return inline(kind, 1);
  }

  RegisterBench(int queues, QueueOwner deviceOwner, QueueOwner owner, RegisterKind kind)
      throws IOException {
    super(new EchoDevice(queues, DEVICE_ID), owner);
    pair = kind.plug(device, deviceOwner, owner instanceof InlineOwner);
    transport = pair.transport();
    transport.setListener(recorder);
  }

  @Override
  DriverTransport transport() {
    return transport;
  }

  @Override
  DeviceHost host() {
    return pair.host();
  }

  /** From whatever status to a live device, with everything accepted that can be. */
  @Override
  RegisterBench start(int depth) throws IOException {
    return startWithout(depth, FeatureBits.NONE);
  }

  /** As {@link #start}, with some features refused. */
  RegisterBench startWithout(int depth, FeatureBits refused) throws IOException {
    transport.reset();
    FeatureBits offered = transport.deviceFeatures();
    start(depth, offered.without(EchoDevice.REFUSED_FEATURE).minus(refused));
    return this;
  }

  @Override
  public void close() {
    transport.close();
  }
}
