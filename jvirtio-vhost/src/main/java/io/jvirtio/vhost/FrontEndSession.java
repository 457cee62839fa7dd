// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * One connection to a back-end, and what was agreed on when it began ("Protocol features").
 * Immutable but for its end.
 */
final class FrontEndSession implements AutoCloseable {
  /** What this front-end knows how to use. */
  static final long PROTOCOL_FEATURES = VhostUserSession.PROTOCOL_FEATURES;

  private static final Logger LOG = System.getLogger(FrontEndSession.class.getName());
  private static final Duration LONGEST = Duration.ofDays(1);

  private final FrontEndChannel channel;
  private final BackEndRequests requests;
  private final long features;
  private final boolean protocolFeaturesAccepted;
  private final long offered;
  private final long negotiated;
  private final int queueNum;
  private final long memorySlots;

  private FrontEndSession(
      FrontEndChannel channel, VhostUserFrontEndOptions options, boolean[] taken)
      throws IOException {
    this.channel = channel;
    long protocolBit = 1L << ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES;
    features = channel.getFeatures();
    protocolFeaturesAccepted = (features & protocolBit) != 0;
    offered = protocolFeaturesAccepted ? channel.getProtocolFeatures() : 0;
    negotiated = choose(offered & PROTOCOL_FEATURES & options.protocolFeatures());
    if (protocolFeaturesAccepted) {
      channel.setProtocolFeatures(negotiated);
    }
    if (has(ProtocolFeatures.REPLY_ACK)) {
      channel.acknowledgeAll();
    }
    queueNum = has(ProtocolFeatures.MQ) ? checkedQueueNum(channel) : -1;
    memorySlots =
        has(ProtocolFeatures.CONFIGURE_MEM_SLOTS)
            ? checkedSlots(channel)
            : VhostUserCodec.MAX_TABLE_REGIONS;
    channel.setOwner();
    requests =
        has(ProtocolFeatures.BACKEND_REQ) ? openRequests(channel, options.replyDeadline()) : null;
    taken[0] = true;
  }

  // The channel of the back-end is of use for changes of the configuration only.
  private static long choose(long possible) {
    boolean config = (possible >>> ProtocolFeatures.CONFIG & 1) != 0;
    return config ? possible : possible & ~ProtocolFeatures.mask(ProtocolFeatures.BACKEND_REQ);
  }

  private static int checkedQueueNum(FrontEndChannel channel) throws IOException {
    long number = channel.getQueueNum();
    if (number == 0) {
      channel.fail("back-end has no queues (GET_QUEUE_NUM)");
      throw channel.failure();
    }
    return number < 0 || number > VhostUserServer.MAX_QUEUES
        ? VhostUserServer.MAX_QUEUES
        : (int) number;
  }

  private static long checkedSlots(FrontEndChannel channel) throws IOException {
    long slots = channel.getMaxMemSlots();
    if (slots == 0) {
      channel.fail("back-end takes no memory (GET_MAX_MEM_SLOTS)");
      throw channel.failure();
    }
    return slots < 0 || slots > VhostMemory.MAX_SLOTS ? VhostMemory.MAX_SLOTS : slots;
  }

  private BackEndRequests openRequests(FrontEndChannel to, Duration deadline) throws IOException {
    Waker waker = new Waker();
    UnixSocket ours = null;
    boolean done = false;
    try {
      UnixSocket[] pair = UnixSocket.pair(waker);
      ours = pair[0];
      try (UnixSocket theirs = pair[1]) {
        to.setBackendReqFd(theirs);
      }
      done = true;
      return new BackEndRequests(ours, waker, deadline, has(ProtocolFeatures.REPLY_ACK));
    } finally {
      if (!done) {
        if (ours != null) {
          ours.close();
        }
        waker.close();
      }
    }
  }

  /**
   * Connects and agrees on protocol features.
   *
   * @param connectTimeout the longest time to wait for a back-end that is busy
   * @throws IOException when nobody listens, or the back-end does not behave; nothing is left open
   */
  static FrontEndSession open(
      Path socket, VhostUserFrontEndOptions options, Duration connectTimeout) throws IOException {
    FrontEndChannel channel =
        FrontEndChannel.connect(socket, connectTimeout, options.replyDeadline());
    boolean[] taken = new boolean[1];
    try {
      return new FrontEndSession(channel, options, taken);
    } finally {
      if (!taken[0]) {
        channel.close();
      }
    }
  }

  /**
   * Connects as {@link #open} does, again and again.
   *
   * @param deadline how long to try
   * @param givenUp whether nobody wants it any more
   * @throws IOException with the last reason, when the time is over
   */
  static FrontEndSession openAgain(
      Path socket, VhostUserFrontEndOptions options, Duration deadline, BooleanSupplier givenUp)
      throws IOException {
    long nanos = deadline.compareTo(LONGEST) > 0 ? LONGEST.toNanos() : deadline.toNanos();
    long pause = options.reconnectInterval().toNanos();
    long start = System.nanoTime();
    while (!givenUp.getAsBoolean()) {
      long left = Math.max(1, nanos - (System.nanoTime() - start));
      try {
        long patience = Math.min(left, options.connectTimeout().toNanos());
        return open(socket, options, Duration.ofNanos(patience));
      } catch (IOException e) {
        if (nanos - (System.nanoTime() - start) <= pause) {
          throw new IOException("cannot reconnect to " + socket + ": " + e.getMessage(), e);
        }
        LOG.log(Level.DEBUG, "{0}: {1}", socket, e.getMessage());
        FrontEndStatus.pause(Math.max(1, TimeUnit.NANOSECONDS.toMillis(pause)));
      }
    }
    throw new IOException("transport is closed");
  }

  /**
   * Reads from the configuration space.
   *
   * @throws RequestRefusedException when the back-end tells of an error
   */
  void readConfig(int offset, byte[] target) throws IOException {
    checkConfig(offset, target.length);
    // From the beginning: libvhost-user ignores the offset.
    byte[] bytes = channel.getConfig(0, offset + target.length);
    System.arraycopy(bytes, offset, target, 0, target.length);
  }

  /** Writes fields of the configuration space that a driver can write. */
  void writeConfig(int offset, byte[] source) throws IOException {
    checkConfig(offset, source.length);
    channel.setConfig(offset, source);
  }

  private void checkConfig(int offset, int length) throws IOException {
    int max = VhostUserCodec.MAX_CONFIG_SIZE;
    if (offset < 0 || length <= 0 || length > max || offset > max - length) {
      throw new IllegalArgumentException(length + " bytes of configuration at " + offset);
    }
    if (!has(ProtocolFeatures.CONFIG)) {
      throw new IOException("back-end has no configuration space (protocol feature CONFIG)");
    }
  }

  FrontEndChannel channel() {
    return channel;
  }

  /** The channel of the back-end; null without BACKEND_REQ. */
  BackEndRequests requests() {
    return requests;
  }

  /** Whether protocol features exist at all, so that vrings must be enabled. */
  boolean hasProtocolFeatures() {
    return protocolFeaturesAccepted;
  }

  /** Whether a protocol feature was negotiated. */
  boolean has(int protocolFeature) {
    return (negotiated >>> protocolFeature & 1) != 0;
  }

  long features() {
    return features;
  }

  long offered() {
    return offered;
  }

  long negotiated() {
    return negotiated;
  }

  /** What the back-end says, 1 to 256; -1 when it cannot say. */
  int queueNum() {
    return queueNum;
  }

  /** How many memory regions the back-end takes, at least 1. */
  long memorySlots() {
    return memorySlots;
  }

  /** Closes everything. Idempotent; on the monitor once that watches. */
  @Override
  public void close() {
    channel.close();
    if (requests != null) {
      requests.close();
    }
  }
}
