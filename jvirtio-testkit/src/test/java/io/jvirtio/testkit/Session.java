// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.device.VirtioDevice;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.ByteOrder;

/** The kinds of session that a split queue knows. */
enum Session {
  PLAIN(ByteOrder.LITTLE_ENDIAN),
  EVENT_IDX(ByteOrder.LITTLE_ENDIAN),
  LEGACY_LITTLE_ENDIAN(ByteOrder.LITTLE_ENDIAN),
  LEGACY_BIG_ENDIAN(ByteOrder.BIG_ENDIAN);

  private final ByteOrder order;

  Session(ByteOrder order) {
    this.order = order;
  }

  boolean isModern() {
    return this == PLAIN || this == EVENT_IDX;
  }

  /** Puts a device on the bench, with indirect descriptors negotiated. */
  DeviceBench.Builder of(VirtioDevice device) {
    FeatureBits features = FeatureBits.of(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    if (this == EVENT_IDX || this == LEGACY_BIG_ENDIAN) {
      features = features.with(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    }
    if (isModern()) {
      return DeviceBench.of(device).features(features.with(ReservedFeatures.VIRTIO_F_VERSION_1));
    }
    return DeviceBench.of(device).features(features).legacy(order);
  }
}
