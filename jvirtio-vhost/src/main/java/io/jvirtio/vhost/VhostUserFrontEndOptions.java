// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.spec.SplitRing;
import java.time.Duration;
import java.util.Objects;

/**
 * How a {@link VhostUserTransport} works. Immutable.
 *
 * @param connectTimeout the longest time that one attempt to connect may take
 * @param replyDeadline the longest time to wait for a reply of the back-end
 * @param reconnectInterval the pause between two attempts to connect again
 * @param memorySize bytes of the first memory region. Address space only: the system provides pages
 *     as they are used
 * @param memoryGrowth the least size of each further region, in bytes
 * @param maxQueueSize the largest size of a queue, a power of two: the protocol has no word for
 *     what the back-end takes
 * @param protocolFeatures the protocol features that may be negotiated, of those that are known
 *     here ({@link ProtocolFeatures#mask})
 */
public record VhostUserFrontEndOptions(
    Duration connectTimeout,
    Duration replyDeadline,
    Duration reconnectInterval,
    long memorySize,
    long memoryGrowth,
    int maxQueueSize,
    long protocolFeatures) {
  private static final long MIB = 1 << 20;
  private static final long MAX_MEMORY = 1L << 40;

  /** Checks the numbers. */
  public VhostUserFrontEndOptions {
    positive("connect timeout", connectTimeout);
    positive("reply deadline", replyDeadline);
    positive("reconnect interval", reconnectInterval);
    if (memorySize <= 0
        || memorySize > MAX_MEMORY
        || memoryGrowth <= 0
        || memoryGrowth > MAX_MEMORY) {
      throw new IllegalArgumentException(
          "memory of " + memorySize + " bytes, then " + memoryGrowth);
    }
    if (!SplitRing.isValidQueueSize(maxQueueSize)) {
      throw new IllegalArgumentException("queue size " + maxQueueSize);
    }
  }

  private static void positive(String name, Duration duration) {
    Objects.requireNonNull(duration);
    if (duration.isNegative() || duration.isZero() || duration.compareTo(Duration.ofDays(1)) > 0) {
      throw new IllegalArgumentException(name + ": " + duration);
    }
  }

  /**
   * 5 s to connect and for each reply, 50 ms between attempts, 64 MiB at first and at least as much
   * each time there is too little, queues of 256, all protocol features.
   */
  public static VhostUserFrontEndOptions defaults() {
    return new VhostUserFrontEndOptions(
        Duration.ofSeconds(5),
        Duration.ofSeconds(5),
        Duration.ofMillis(50),
        64 * MIB,
        64 * MIB,
        256,
        FrontEndSession.PROTOCOL_FEATURES);
  }

  /** These options with another time for an attempt to connect. */
  public VhostUserFrontEndOptions withConnectTimeout(Duration timeout) {
    return new VhostUserFrontEndOptions(
        timeout,
        replyDeadline,
        reconnectInterval,
        memorySize,
        memoryGrowth,
        maxQueueSize,
        protocolFeatures);
  }

  /** These options with another time for a reply. */
  public VhostUserFrontEndOptions withReplyDeadline(Duration deadline) {
    return new VhostUserFrontEndOptions(
        connectTimeout,
        deadline,
        reconnectInterval,
        memorySize,
        memoryGrowth,
        maxQueueSize,
        protocolFeatures);
  }

  /** These options with another pause between two attempts to connect again. */
  public VhostUserFrontEndOptions withReconnectInterval(Duration interval) {
    return new VhostUserFrontEndOptions(
        connectTimeout,
        replyDeadline,
        interval,
        memorySize,
        memoryGrowth,
        maxQueueSize,
        protocolFeatures);
  }

  /** These options with so much memory. */
  public VhostUserFrontEndOptions withMemory(long size, long growth) {
    return new VhostUserFrontEndOptions(
        connectTimeout,
        replyDeadline,
        reconnectInterval,
        size,
        growth,
        maxQueueSize,
        protocolFeatures);
  }

  /** These options with queues of at most this size. */
  public VhostUserFrontEndOptions withMaxQueueSize(int size) {
    return new VhostUserFrontEndOptions(
        connectTimeout,
        replyDeadline,
        reconnectInterval,
        memorySize,
        memoryGrowth,
        size,
        protocolFeatures);
  }

  /** These options with only these protocol features. */
  public VhostUserFrontEndOptions withProtocolFeatures(long mask) {
    return new VhostUserFrontEndOptions(
        connectTimeout,
        replyDeadline,
        reconnectInterval,
        memorySize,
        memoryGrowth,
        maxQueueSize,
        mask);
  }
}
