// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import java.util.concurrent.atomic.LongAdder;

/**
 * What a device has counted of the accesses to its registers that made no sense and had no effect.
 * Thread-safe.
 */
public final class AccessCounters {
  private final LongAdder reads = new LongAdder();
  private final LongAdder writes = new LongAdder();
  private final LongAdder notifications = new LongAdder();

  /** A read of a register that there is not, or with a width that it does not have. */
  public void ignoredRead() {
    reads.increment();
  }

  /** A write that had no effect, for the same reasons, or because it was not allowed then. */
  public void ignoredWrite() {
    writes.increment();
  }

  /** A notification of a queue that there is not. */
  public void ignoredNotification() {
    notifications.increment();
  }

  /** How many reads were answered with zeros or ones because they made no sense. */
  public long ignoredReads() {
    return reads.sum();
  }

  /** How many writes were ignored. */
  public long ignoredWrites() {
    return writes.sum();
  }

  /** How many notifications named no queue. */
  public long ignoredNotifications() {
    return notifications.sum();
  }
}
