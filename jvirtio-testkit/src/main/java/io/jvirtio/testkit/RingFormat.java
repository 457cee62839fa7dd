// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;

/**
 * The formats of virtqueues (virtio 1.4, Basic Facilities of a Virtio Device / Virtqueues): the
 * parameter of tests that are to pass with each.
 */
public enum RingFormat {
  /** Split virtqueues. */
  SPLIT,
  /** Packed virtqueues. */
  PACKED;

  /** These features with VIRTIO_F_RING_PACKED, or without it, as this format demands. */
  public FeatureBits applyTo(FeatureBits features) {
    return this == PACKED
        ? features.with(ReservedFeatures.VIRTIO_F_RING_PACKED)
        : features.without(ReservedFeatures.VIRTIO_F_RING_PACKED);
  }
}
