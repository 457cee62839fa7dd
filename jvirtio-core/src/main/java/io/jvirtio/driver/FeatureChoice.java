// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.FeatureNames;
import io.jvirtio.spec.FeatureRequirement;
import io.jvirtio.spec.ReservedFeatures;
import java.util.ArrayList;
import java.util.List;

/**
 * Which of the features that a device offers a driver accepts (virtio 1.4, Basic Facilities of a
 * Virtio Device / Feature Bits, Driver Requirements). Pure functions.
 */
final class FeatureChoice {
  /**
   * The reserved features that this driver side implements, for every driver.
   *
   * <p>VIRTIO_F_ACCESS_PLATFORM: devices get no other addresses than those of DriverMemory, which
   * the transport has mapped for them. VIRTIO_F_ORDER_PLATFORM: devices are software or behave like
   * it, and the fences of DriverQueue are those between processors.
   */
  static final FeatureBits IMPLEMENTED =
      FeatureBits.of(
          ReservedFeatures.VIRTIO_F_INDIRECT_DESC,
          ReservedFeatures.VIRTIO_F_EVENT_IDX,
          ReservedFeatures.VIRTIO_F_VERSION_1,
          ReservedFeatures.VIRTIO_F_RING_PACKED,
          ReservedFeatures.VIRTIO_F_IN_ORDER,
          ReservedFeatures.VIRTIO_F_RING_RESET,
          ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM,
          ReservedFeatures.VIRTIO_F_ORDER_PLATFORM,
          ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
          ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
          ReservedFeatures.VIRTIO_F_SUSPEND);

  /** Those that a transport has to carry. */
  private static final FeatureBits TO_BE_CARRIED =
      FeatureBits.of(
          ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
          ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
          ReservedFeatures.VIRTIO_F_SUSPEND);

  /** Bits 24 to 41 and 43 to 49 belong to no device type. */
  private static final FeatureBits RESERVED = new FeatureBits(0x0003_fbff_ff00_0000L, 0);

  /** The legacy interface knows no more. */
  private static final FeatureBits LEGACY = new FeatureBits(0xffff_ffffL, 0);

  private FeatureChoice() {}

  /**
   * A driver type leaves the reserved features to the device object.
   *
   * @throws IllegalArgumentException when it claims some
   */
  static void check(DriverType type) {
    FeatureBits all = type.features().or(type.legacyFeatures()).or(type.requiredFeatures());
    FeatureBits claimed = all.and(RESERVED);
    if (!claimed.isEmpty()) {
      throw new IllegalArgumentException(
          "driver " + type.name() + " claims reserved features: " + names(0, claimed));
    }
  }

  /**
   * What to accept: offered, understood, defined for the type of device, and without what misses a
   * dependency.
   *
   * @param allowed the reserved features that the user allows
   */
  static FeatureBits choose(
      DriverTransport transport, DriverType type, FeatureBits offered, FeatureBits allowed) {
    boolean legacy = transport.isLegacy();
    FeatureBits understood = legacy ? type.legacyFeatures() : type.features();
    DeviceType spec = DeviceType.of(transport.deviceId());
    if (spec != null && spec.isSpecified()) {
      understood = understood.and(spec.features());
    }
    FeatureBits lacking = TO_BE_CARRIED.minus(transport.carriedFeatures());
    FeatureBits ring =
        IMPLEMENTED
            .and(allowed)
            .minus(lacking)
            .with(ReservedFeatures.VIRTIO_F_VERSION_1)
            // Which must be accepted, and binds only the device.
            .withIf(legacy, ReservedFeatures.VIRTIO_F_ANY_LAYOUT);
    FeatureBits chosen = offered.and(understood.or(ring));
    if (legacy) {
      chosen = chosen.and(LEGACY);
    }
    return withoutOrphans(transport.deviceId(), chosen);
  }

  /** Leaves out features that need another which is not in the set. */
  static FeatureBits withoutOrphans(int deviceId, FeatureBits features) {
    DeviceType spec = DeviceType.of(deviceId);
    List<FeatureRequirement> rules = spec == null ? List.of() : spec.requirements();
    FeatureBits result = features;
    FeatureBits before;
    do { // ends: every round but the last takes a bit away
      before = result;
      for (FeatureRequirement rule : rules) {
        if (!rule.holds(result)) {
          result = result.without(rule.feature());
        }
      }
    } while (!result.equals(before));
    return result;
  }

  /**
   * Checks that nothing is missing that the driver cannot do without.
   *
   * @throws NegotiationException names each missing feature
   */
  static void require(
      DriverTransport transport, DriverType type, FeatureBits offered, FeatureBits accepted)
      throws NegotiationException {
    String device = "the device at " + transport.busName();
    if (!transport.isLegacy() && !offered.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      throw new NegotiationException(
          device
              + " does not offer VIRTIO_F_VERSION_1, without which it cannot be driven by the"
              + " modern interface");
    }
    FeatureBits missing = type.requiredFeatures().minus(accepted);
    if (missing.isEmpty()) {
      return;
    }
    FeatureBits withheld = missing.minus(offered);
    List<String> reasons = new ArrayList<>();
    if (!withheld.isEmpty()) {
      reasons.add("does not offer " + names(transport.deviceId(), withheld));
    }
    FeatureBits lone = missing.and(offered);
    if (!lone.isEmpty()) {
      reasons.add(
          "offers "
              + names(transport.deviceId(), lone)
              + ", but not what the driver accepts along with it");
    }
    throw new NegotiationException(
        device + " " + String.join(" and ", reasons) + ": driver " + type.name() + " needs that");
  }

  /** The names of features, for a message. */
  static String names(int deviceId, FeatureBits features) {
    return features.isEmpty() ? "none" : String.join(", ", FeatureNames.of(deviceId, features));
  }
}
