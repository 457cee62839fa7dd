// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

/**
 * What a driver's queue has done. Counted by its owner without any ordering: other threads may see
 * an older state.
 */
public final class DriverCounters {
  long added;
  long indirect;
  long used;
  long notificationsSent;
  long notificationsSuppressed;
  long callbacks;

  /** All zero. */
  public DriverCounters() {}

  /** Buffers made available. */
  public long added() {
    return added;
  }

  /** How many of them by an indirect table. */
  public long indirect() {
    return indirect;
  }

  /** Buffers that came back. */
  public long used() {
    return used;
  }

  /** Batches of available buffers for which the device was notified. */
  public long notificationsSent() {
    return notificationsSent;
  }

  /** Batches of available buffers for which the device wanted no notification. */
  public long notificationsSuppressed() {
    return notificationsSuppressed;
  }

  /** How often the callback ran. */
  public long callbacks() {
    return callbacks;
  }
}
