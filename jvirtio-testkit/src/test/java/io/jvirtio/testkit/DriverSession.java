// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.ByteOrder;

/** The kinds of session that a driver's split queue knows. */
enum DriverSession {
  PLAIN(false, false),
  INDIRECT(true, false),
  EVENT_IDX(false, true),
  INDIRECT_AND_EVENT_IDX(true, true),
  LEGACY(false, false),
  LEGACY_BIG_ENDIAN(true, true);

  private final boolean indirect;
  private final boolean eventIdx;

  DriverSession(boolean indirect, boolean eventIdx) {
    this.indirect = indirect;
    this.eventIdx = eventIdx;
  }

  boolean isIndirect() {
    return indirect;
  }

  boolean hasEventIdx() {
    return eventIdx;
  }

  boolean isLegacy() {
    return this == LEGACY || this == LEGACY_BIG_ENDIAN;
  }

  ByteOrder order() {
    return this == LEGACY_BIG_ENDIAN ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
  }

  FeatureBits features() {
    return FeatureBits.NONE
        .withIf(indirect, ReservedFeatures.VIRTIO_F_INDIRECT_DESC)
        .withIf(eventIdx, ReservedFeatures.VIRTIO_F_EVENT_IDX)
        .withIf(!isLegacy(), ReservedFeatures.VIRTIO_F_VERSION_1);
  }
}
