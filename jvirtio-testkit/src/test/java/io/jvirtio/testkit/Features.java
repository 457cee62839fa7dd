// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;

/** Feature sets that tests negotiate. */
final class Features {
  static final FeatureBits MODERN = FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1);
  static final FeatureBits EVENT_IDX = MODERN.with(ReservedFeatures.VIRTIO_F_EVENT_IDX);
  static final FeatureBits INDIRECT = MODERN.with(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);

  private Features() {}
}
