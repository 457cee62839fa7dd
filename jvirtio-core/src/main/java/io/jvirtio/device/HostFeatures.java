// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;

/** The feature bits that are the business of a {@link DeviceHost}, not of its device. */
final class HostFeatures {
  /** Offered unless a transport or user says otherwise. */
  static final FeatureBits RING =
      FeatureBits.of(
          ReservedFeatures.VIRTIO_F_INDIRECT_DESC,
          ReservedFeatures.VIRTIO_F_EVENT_IDX,
          ReservedFeatures.VIRTIO_F_VERSION_1,
          ReservedFeatures.VIRTIO_F_RING_PACKED,
          ReservedFeatures.VIRTIO_F_RING_RESET);

  /**
   * Those beyond {@link #RING} make fast requests wait (VIRTIO_F_IN_ORDER), change nothing in a
   * host whose devices only reach what is mapped and whose fences are those between processors
   * (VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_ORDER_PLATFORM), or are not carried by every transport.
   */
  static final FeatureBits IMPLEMENTED =
      RING.or(
          FeatureBits.of(
              ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM,
              ReservedFeatures.VIRTIO_F_IN_ORDER,
              ReservedFeatures.VIRTIO_F_ORDER_PLATFORM,
              ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
              ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
              ReservedFeatures.VIRTIO_F_SUSPEND));

  private HostFeatures() {}

  /**
   * What a host offers: the device's bits and its own.
   *
   * @throws IllegalArgumentException for a reserved bit that the host does not implement, or that
   *     the device offers
   */
  static FeatureBits offered(VirtioDevice device, FeatureBits ringFeatures) {
    if (!ringFeatures.isSubsetOf(IMPLEMENTED)) {
      throw new IllegalArgumentException("not implemented: " + ringFeatures.minus(IMPLEMENTED));
    }
    for (int bit : device.features().bits()) {
      if (ReservedFeatures.nameOf(bit) != null) {
        throw new IllegalArgumentException("the device offers " + ReservedFeatures.nameOf(bit));
      }
    }
    return device.features().or(ringFeatures);
  }

  /** Whether none of what a driver has accepted needs another that it has not. */
  static boolean fitTogether(FeatureBits accepted) {
    // A packed ring has no legacy form.
    return !accepted.has(ReservedFeatures.VIRTIO_F_RING_PACKED)
        || accepted.has(ReservedFeatures.VIRTIO_F_VERSION_1);
  }
}
