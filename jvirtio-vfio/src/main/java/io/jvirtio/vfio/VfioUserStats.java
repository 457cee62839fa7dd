// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.spec.FeatureBits;

/**
 * What happened since the server started. Counts of running queues are exact once they have
 * stopped.
 *
 * @param sessions clients that connected
 * @param negotiated the virtio features negotiated last
 * @param commands commands of clients
 * @param refused commands that were answered with an error
 * @param accesses reads and writes of registers
 * @param interrupts times that an eventfd of a client was signalled
 * @param notificationsSuppressed batches of used buffers that the driver wanted no notification for
 * @param chains buffers taken from drivers
 * @param faults times that a driver broke a rule of memory or rings
 * @param protocolFaults clients that were sent away for what they sent
 */
public record VfioUserStats(
    long sessions,
    FeatureBits negotiated,
    long commands,
    long refused,
    long accesses,
    long interrupts,
    long notificationsSuppressed,
    long chains,
    long faults,
    long protocolFaults) {}
