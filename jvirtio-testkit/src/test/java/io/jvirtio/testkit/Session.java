// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.device.VirtioDevice;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.ByteOrder;
import java.util.stream.Stream;

/** The kinds of session that a device's queues know. */
enum Session {
  PLAIN(ByteOrder.LITTLE_ENDIAN),
  EVENT_IDX(ByteOrder.LITTLE_ENDIAN),
  LEGACY_LITTLE_ENDIAN(ByteOrder.LITTLE_ENDIAN),
  LEGACY_BIG_ENDIAN(ByteOrder.BIG_ENDIAN),
  PACKED(ByteOrder.LITTLE_ENDIAN),
  PACKED_EVENT_IDX(ByteOrder.LITTLE_ENDIAN);

  private final ByteOrder order;

  Session(ByteOrder order) {
    this.order = order;
  }

  /** Those with a split queue. */
  static Stream<Session> split() {
    return Stream.of(values()).filter(session -> !session.isPacked());
  }

  /** Those with a packed queue. */
  static Stream<Session> packed() {
    return Stream.of(values()).filter(Session::isPacked);
  }

  boolean isPacked() {
    return this == PACKED || this == PACKED_EVENT_IDX;
  }

  boolean isModern() {
    return this == PLAIN || this == EVENT_IDX || isPacked();
  }

  boolean hasEventIdx() {
    return this == EVENT_IDX || this == LEGACY_BIG_ENDIAN || this == PACKED_EVENT_IDX;
  }

  /** Puts a device on the bench, with indirect descriptors negotiated. */
  DeviceBench.Builder of(VirtioDevice device) {
    FeatureBits features =
        FeatureBits.of(ReservedFeatures.VIRTIO_F_INDIRECT_DESC)
            .withIf(hasEventIdx(), ReservedFeatures.VIRTIO_F_EVENT_IDX)
            .withIf(isModern(), ReservedFeatures.VIRTIO_F_VERSION_1)
            .withIf(isPacked(), ReservedFeatures.VIRTIO_F_RING_PACKED);
    DeviceBench.Builder builder = DeviceBench.of(device).features(features);
    return isModern() ? builder : builder.legacy(order);
  }
}
