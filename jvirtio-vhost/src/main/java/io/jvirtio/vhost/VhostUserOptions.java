// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.time.Duration;
import java.util.Map;

/**
 * How a server works. Immutable.
 *
 * @param mode how workers wait for the driver
 * @param pollWindow how long an adaptive worker polls before it sleeps
 * @param workers how many threads own queues, at least 1; queue n belongs to worker n modulo
 *     workers
 * @param oneShot whether the server ends when the first front-end has left
 * @param ringFeatures the reserved feature bits to offer; none that vhost-user does not carry
 */
public record VhostUserOptions(
    LoopMode mode, Duration pollWindow, int workers, boolean oneShot, FeatureBits ringFeatures) {

  /** What needs more than vhost-user says, with why. */
  private static final Map<Integer, String> NOT_CARRIED =
      Map.of(
          ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM,
          "its IOTLB messages are not served",
          ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
          "a kick is an eventfd and carries no data",
          ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
          "a kick is an eventfd and names no queue",
          ReservedFeatures.VIRTIO_F_SUSPEND,
          "a front-end stops vrings instead");

  /** Checks the numbers and the features. */
  public VhostUserOptions {
    for (int bit : ringFeatures.bits()) {
      if (NOT_CARRIED.containsKey(bit)) {
        throw new IllegalArgumentException(
            ReservedFeatures.nameOf(bit)
                + " cannot be offered over vhost-user: "
                + NOT_CARRIED.get(bit));
      }
    }
    if (workers < 1) {
      throw new IllegalArgumentException("workers: " + workers);
    }
  }

  /** Adaptive, a worker for each processor, all ring features. */
  public static VhostUserOptions defaults() {
    return new VhostUserOptions(
        LoopMode.ADAPTIVE,
        EventLoop.DEFAULT_POLL_WINDOW,
        Runtime.getRuntime().availableProcessors(),
        false,
        DeviceHost.ringFeatures());
  }

  /** These options in another mode. */
  public VhostUserOptions withMode(LoopMode newMode) {
    return new VhostUserOptions(newMode, pollWindow, workers, oneShot, ringFeatures);
  }

  /** These options with so many workers. */
  public VhostUserOptions withWorkers(int newWorkers) {
    return new VhostUserOptions(mode, pollWindow, newWorkers, oneShot, ringFeatures);
  }

  /** These options, for one front-end only or for many. */
  public VhostUserOptions withOneShot(boolean newOneShot) {
    return new VhostUserOptions(mode, pollWindow, workers, newOneShot, ringFeatures);
  }

  /** These options with only these ring features offered. */
  public VhostUserOptions withRingFeatures(FeatureBits newRingFeatures) {
    return new VhostUserOptions(mode, pollWindow, workers, oneShot, newRingFeatures);
  }
}
