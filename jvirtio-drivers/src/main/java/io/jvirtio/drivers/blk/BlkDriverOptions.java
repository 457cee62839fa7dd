// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.device.QueueOwner;
import java.time.Duration;
import java.util.List;
import java.util.Objects;

/**
 * How a block device is driven. Immutable.
 *
 * @param owners the threads that own the queues, in turn; at least one
 * @param queues the most queues to use; the device may have fewer
 * @param queueSize the largest queue size that is useful, a power of two; 0 for what the device
 *     offers
 * @param maxSegments the most elements of data in one request
 * @param maxRequestBytes in how large requests the calls of {@link BlkDriver} split, a multiple of
 *     512
 * @param maxRanges the most ranges in one discard, write zeroes or secure erase
 * @param polled whether the user polls the queues ({@link BlkQueue#poll}), so that the device need
 *     not notify
 * @param onLoss what becomes of requests when the device is lost
 * @param requestTimeout how long the device may take for a request before it is declared broken
 * @param bounceBytes how much memory for data that is not shared with the device is kept for the
 *     next request
 */
public record BlkDriverOptions(
    List<QueueOwner> owners,
    int queues,
    int queueSize,
    int maxSegments,
    int maxRequestBytes,
    int maxRanges,
    boolean polled,
    OnLoss onLoss,
    Duration requestTimeout,
    long bounceBytes) {
  /** The most queues that can be asked for. */
  public static final int MAX_QUEUES = 1024;

  /** The most elements that can be asked for. */
  public static final int MAX_SEGMENTS = 1024;

  /** The most ranges that can be asked for. */
  public static final int MAX_RANGES = 256;

  /** Checks each option by itself. */
  public BlkDriverOptions {
    owners = List.copyOf(owners);
    check(!owners.isEmpty(), "no owner");
    check(queues >= 1 && queues <= MAX_QUEUES, "queues: " + queues);
    check(queueSize >= 0 && Integer.bitCount(queueSize) <= 1, "queue size: " + queueSize);
    check(maxSegments >= 1 && maxSegments <= MAX_SEGMENTS, "segments: " + maxSegments);
    check(maxRequestBytes >= 512 && maxRequestBytes % 512 == 0, "bytes: " + maxRequestBytes);
    check(maxRanges >= 1 && maxRanges <= MAX_RANGES, "ranges: " + maxRanges);
    check(requestTimeout.isPositive(), "request timeout: " + requestTimeout);
    check(bounceBytes >= 0, "bounce memory: " + bounceBytes);
    Objects.requireNonNull(onLoss);
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new IllegalArgumentException(what);
    }
  }

  /** The defaults: a queue for each owner, requests up to 1 MiB, 30 s for each. */
  public static BlkDriverOptions of(QueueOwner... owners) {
    return builder(owners).build();
  }

  /** Starts from the defaults. */
  public static Builder builder(QueueOwner... owners) {
    return new Builder(List.of(owners));
  }

  /** The request timeout; 292 years when it is longer. */
  long timeoutNanos() {
    try {
      return requestTimeout.toNanos();
    } catch (ArithmeticException e) {
      return Long.MAX_VALUE;
    }
  }

  /** Collects options. Not thread-safe. */
  public static final class Builder {
    private final List<QueueOwner> owners;
    private int queues;
    private int queueSize;
    private int maxSegments = 126;
    private int maxRequestBytes = 1 << 20;
    private int maxRanges = 16;
    private boolean polled;
    private OnLoss onLoss = OnLoss.FAIL;
    private Duration requestTimeout = Duration.ofSeconds(30);
    private long bounceBytes = 8 << 20;

    private Builder(List<QueueOwner> owners) {
      this.owners = owners;
      this.queues = Math.max(1, owners.size());
    }

    /** The most queues to use; as many as there are owners unless said. */
    public Builder queues(int most) {
      queues = most;
      return this;
    }

    /** The largest queue size that is useful. */
    public Builder queueSize(int descriptors) {
      queueSize = descriptors;
      return this;
    }

    /** The most elements of data in one request. */
    public Builder maxSegments(int most) {
      maxSegments = most;
      return this;
    }

    /** In how large requests larger transfers are split, in bytes. */
    public Builder maxRequestBytes(int bytes) {
      maxRequestBytes = bytes;
      return this;
    }

    /** The most ranges in one request. */
    public Builder maxRanges(int most) {
      maxRanges = most;
      return this;
    }

    /** Whether the user polls the queues. */
    public Builder polled(boolean byUser) {
      polled = byUser;
      return this;
    }

    /** What becomes of requests when the device is lost. */
    public Builder onLoss(OnLoss what) {
      onLoss = what;
      return this;
    }

    /** How long the device may take for a request. */
    public Builder requestTimeout(Duration most) {
      requestTimeout = most;
      return this;
    }

    /** How much bounce memory is kept, in bytes. */
    public Builder bounceBytes(long most) {
      bounceBytes = most;
      return this;
    }

    /**
     * The options.
     *
     * @throws IllegalArgumentException for a value out of range
     */
    public BlkDriverOptions build() {
      return new BlkDriverOptions(
          owners,
          queues,
          queueSize,
          maxSegments,
          maxRequestBytes,
          maxRanges,
          polled,
          onLoss,
          requestTimeout,
          bounceBytes);
    }
  }
}
