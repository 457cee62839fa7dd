// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.ByteOrder;
import java.util.List;
import java.util.stream.Stream;

/** The kinds of session that a driver's queue knows. */
enum DriverSession {
  PLAIN(false, false),
  INDIRECT(true, false),
  EVENT_IDX(false, true),
  INDIRECT_AND_EVENT_IDX(true, true),
  LEGACY(false, false),
  LEGACY_BIG_ENDIAN(true, true),
  PACKED(false, false),
  PACKED_INDIRECT(true, false),
  PACKED_EVENT_IDX(false, true),
  PACKED_INDIRECT_AND_EVENT_IDX(true, true),
  IN_ORDER(true, true),
  PACKED_IN_ORDER(false, true);

  private final boolean indirect;
  private final boolean eventIdx;

  DriverSession(boolean indirect, boolean eventIdx) {
    this.indirect = indirect;
    this.eventIdx = eventIdx;
  }

  /** Those with a split queue. */
  static List<DriverSession> split() {
    return Stream.of(values()).filter(session -> !session.isPacked()).toList();
  }

  /** Those with a split queue whose devices may use buffers in any order. */
  static List<DriverSession> splitAnyOrder() {
    return split().stream().filter(session -> !session.isInOrder()).toList();
  }

  /** Those with a packed queue. */
  static List<DriverSession> packed() {
    return Stream.of(values()).filter(DriverSession::isPacked).toList();
  }

  /** Those whose devices may use buffers in any order. */
  static List<DriverSession> anyOrder() {
    return Stream.of(values()).filter(session -> !session.isInOrder()).toList();
  }

  boolean isInOrder() {
    return name().endsWith("IN_ORDER");
  }

  boolean isPacked() {
    return name().startsWith("PACKED");
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
        .withIf(isInOrder(), ReservedFeatures.VIRTIO_F_IN_ORDER)
        .withIf(isPacked(), ReservedFeatures.VIRTIO_F_RING_PACKED)
        .withIf(!isLegacy(), ReservedFeatures.VIRTIO_F_VERSION_1);
  }
}
