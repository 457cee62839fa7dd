// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.driver.NegotiationException;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.FeatureNames;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Device status and driver features as vhost-user carries them: the status by the protocol feature
 * STATUS, or not at all, and then it is kept here. Control plane, under its lock.
 */
final class FrontEndStatus {
  private static final Logger LOG = System.getLogger(FrontEndStatus.class.getName());

  private static final int VHOST_F_LOG_ALL = 26;

  /** What is no feature of the device, or needs messages that are not sent here (IOTLB). */
  private static final FeatureBits HIDDEN =
      FeatureBits.of(
          VHOST_F_LOG_ALL,
          ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES,
          ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM);

  private int status;
  private FeatureBits features = FeatureBits.NONE;
  private boolean refused;

  /** As after a reset. */
  void clear() {
    status = 0;
    features = FeatureBits.NONE;
    refused = false;
  }

  /** What the driver accepted last. */
  FeatureBits features() {
    return features;
  }

  /** Whether the driver has said that it is ready. */
  boolean isDriverOk() {
    return (status & DeviceStatus.DRIVER_OK) != 0;
  }

  /** The device status as the driver reads it. */
  int read(FrontEndSession session) throws IOException {
    int now = session.has(ProtocolFeatures.STATUS) ? session.channel().getStatus() : status;
    return refused ? now & ~DeviceStatus.FEATURES_OK : now;
  }

  /** Writes the device status. */
  void write(FrontEndSession session, int next) throws IOException {
    boolean featuresOk = (next & ~status & DeviceStatus.FEATURES_OK) != 0;
    if (session.has(ProtocolFeatures.STATUS)) {
      session.channel().setStatus(next);
    } else if (featuresOk) {
      // A back-end that does not like the features may know no other way than to leave.
      session.channel().getFeatures();
    }
    status = next;
  }

  /** What the device offers to a driver. */
  static FeatureBits offered(FrontEndSession session) throws IOException {
    return new FeatureBits(session.channel().getFeatures(), 0).minus(HIDDEN);
  }

  /**
   * Tells what the driver accepts.
   *
   * @param deviceId for the names of features
   * @throws NegotiationException when it is not offered, or misses VIRTIO_F_VERSION_1
   */
  void accept(FrontEndSession session, int deviceId, FeatureBits accepted) throws IOException {
    FeatureBits offered = offered(session);
    if (!accepted.isSubsetOf(offered)) {
      throw new NegotiationException(
          "back-end does not offer " + FeatureNames.of(deviceId, accepted.minus(offered)));
    }
    if (!accepted.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      throw new NegotiationException(
          offered.has(ReservedFeatures.VIRTIO_F_VERSION_1)
              ? "driver does not accept VIRTIO_F_VERSION_1"
              : "back-end does not offer VIRTIO_F_VERSION_1");
    }
    long protocolBit =
        session.hasProtocolFeatures() ? 1L << ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES : 0;
    try {
      session.channel().setFeatures(accepted.low() | protocolBit);
      refused = false;
    } catch (RequestRefusedException e) {
      // The driver finds out as it does everywhere: FEATURES_OK does not stay.
      LOG.log(Level.WARNING, "{0}", e.getMessage());
      refused = true;
    }
    features = accepted;
  }

  /**
   * Resets the device by as many of RESET_DEVICE and STATUS as were negotiated. Its vrings have
   * been stopped, which must do where there is neither.
   *
   * @param deadline how long the device may take
   */
  void reset(FrontEndSession session, Duration deadline) throws IOException {
    FrontEndChannel channel = session.channel();
    if (session.has(ProtocolFeatures.RESET_DEVICE)) {
      channel.resetDevice();
    }
    if (session.has(ProtocolFeatures.STATUS)) {
      channel.setStatus(0);
      long start = System.nanoTime();
      while (channel.getStatus() != 0) {
        if (System.nanoTime() - start > deadline.toNanos()) {
          channel.fail(
              "back-end does not reset its device for " + FrontEndConnection.text(deadline));
          throw channel.failure();
        }
        pause(1);
      }
    }
    clear();
  }

  /** Sleeps, which an interrupt ends with an exception. */
  static void pause(long millis) throws IOException {
    try {
      TimeUnit.MILLISECONDS.sleep(millis);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }
}
