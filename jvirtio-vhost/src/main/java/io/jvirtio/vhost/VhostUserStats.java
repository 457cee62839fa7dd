// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.spec.FeatureBits;

/**
 * What happened since the server started. Counts of running queues are exact once they have
 * stopped.
 *
 * @param sessions front-ends that connected
 * @param negotiated the virtio features negotiated last
 * @param protocolFeatures the protocol features negotiated last, as a mask
 * @param chains buffers taken from drivers
 * @param notificationsReceived available buffer notifications
 * @param notificationsSent used buffer notifications
 * @param notificationsSuppressed batches of used buffers that the driver wanted no notification for
 * @param faults times that a driver broke a rule of memory or rings
 * @param protocolFaults front-ends that were sent away for what they sent
 */
public record VhostUserStats(
    long sessions,
    FeatureBits negotiated,
    long protocolFeatures,
    long chains,
    long notificationsReceived,
    long notificationsSent,
    long notificationsSuppressed,
    long faults,
    long protocolFaults) {

  static final VhostUserStats ZERO = new VhostUserStats(0, FeatureBits.NONE, 0, 0, 0, 0, 0, 0, 0);

  VhostUserStats plus(VhostUserStats later) {
    return new VhostUserStats(
        sessions + later.sessions,
        later.negotiated.isEmpty() ? negotiated : later.negotiated,
        later.protocolFeatures == 0 ? protocolFeatures : later.protocolFeatures,
        chains + later.chains,
        notificationsReceived + later.notificationsReceived,
        notificationsSent + later.notificationsSent,
        notificationsSuppressed + later.notificationsSuppressed,
        faults + later.faults,
        protocolFaults + later.protocolFaults);
  }
}
