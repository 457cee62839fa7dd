// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

/**
 * What happened on one queue since it started. Written by the owner thread alone; another thread
 * reads it by asking the owner.
 */
public final class QueueCounters {
  long chains;
  long used;
  long notificationsSent;
  long notificationsSuppressed;

  /** All zero. */
  public QueueCounters() {}

  /** Buffers taken from the driver. */
  public long chains() {
    return chains;
  }

  /** Buffers given back. */
  public long used() {
    return used;
  }

  /** Batches of used buffers for which a notification was due. */
  public long notificationsSent() {
    return notificationsSent;
  }

  /** Batches of used buffers for which the driver wanted no notification. */
  public long notificationsSuppressed() {
    return notificationsSuppressed;
  }
}
