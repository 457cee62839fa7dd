// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;

/** The device status of a {@link ScriptedTransport}, and the features that it decides about. */
final class ScriptedStatus {
  private FeatureBits offered = FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1);
  private FeatureBits accepted = FeatureBits.NONE;
  private int status;
  private boolean refusesSuspension;
  private boolean refusesFeatures;

  void offer(FeatureBits features) {
    offered = features;
  }

  FeatureBits offered() {
    return offered;
  }

  void accept(FeatureBits features) {
    accepted = features;
  }

  FeatureBits accepted() {
    return accepted;
  }

  void refuseFeatures(boolean refuse) {
    refusesFeatures = refuse;
  }

  void refuseSuspension(boolean refuse) {
    refusesSuspension = refuse;
  }

  int get() {
    return status;
  }

  void needReset() {
    status |= DeviceStatus.DEVICE_NEEDS_RESET;
  }

  void reset() {
    status = 0;
    accepted = FeatureBits.NONE;
  }

  /** The driver writes it; not 0. */
  void write(int value) {
    boolean suspended = (status & DeviceStatus.SUSPEND) != 0;
    int switching = suspended ? DeviceStatus.DRIVER_OK : DeviceStatus.SUSPEND;
    if ((value & switching) != 0 && accepted.has(ReservedFeatures.VIRTIO_F_SUSPEND)) {
      if (!refusesSuspension) {
        status ^= DeviceStatus.SUSPEND | DeviceStatus.DRIVER_OK;
      }
      return;
    }
    int kept = status & DeviceStatus.DEVICE_NEEDS_RESET;
    boolean fresh = (value & ~status & DeviceStatus.FEATURES_OK) != 0;
    boolean refused = fresh && (refusesFeatures || !accepted.isSubsetOf(offered));
    status = (refused ? value & ~DeviceStatus.FEATURES_OK : value) | kept;
  }
}
