// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

/**
 * A feature that must not be offered without another (virtio 1.4, Basic Facilities of a Virtio
 * Device / Feature Bits).
 *
 * @param feature the bit that needs something
 * @param anyOf one of these has to be offered with it
 */
public record FeatureRequirement(int feature, FeatureBits anyOf) {
  /** The first bit needs the second, or any of them where there are more. */
  static FeatureRequirement of(int feature, int... anyOf) {
    return new FeatureRequirement(feature, FeatureBits.of(anyOf));
  }

  /** Whether a set of features keeps to it. */
  public boolean holds(FeatureBits features) {
    return !features.has(feature) || !features.and(anyOf).isEmpty();
  }
}
