// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_VERSION_1;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import java.util.List;
import org.junit.jupiter.api.AfterEach;

/** A scripted block device, and a driver of one for a test to start. */
abstract class ScriptedBlockDevice {
  final ScriptedTransport transport =
      new ScriptedTransport(DeviceType.BLOCK.id()).config(new byte[96]);
  final TestDriverType type = new TestDriverType("test", transport.owner());
  DriverDevice device;

  DriverDevice device(FeatureBits ringFeatures) {
    device = new DriverDevice(transport, ringFeatures, Runnable::run);
    return device;
  }

  DriverDevice device() {
    return device(DriverDevice.ringFeatures());
  }

  static FeatureBits modern(int... bits) {
    return FeatureBits.of(bits).with(VIRTIO_F_VERSION_1);
  }

  @AfterEach
  void close() {
    if (device != null) {
      device.close();
    }
    transport.close();
  }

  /** The statuses written, in turn. */
  List<String> statuses() {
    return transport.calls().stream()
        .filter(call -> call.startsWith("writeStatus"))
        .map(call -> call.substring("writeStatus ".length()))
        .toList();
  }
}
