// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.EchoDevice;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NegotiationTest {
  private static final long FEATURE = 1L << EchoDevice.FEATURE;

  @TempDir Path directory;
  private BackEnd backEnd;

  @BeforeEach
  void serve() throws IOException {
    backEnd = new BackEnd(directory);
  }

  @AfterEach
  void end() {
    backEnd.close();
  }

  @Test
  void whatIsOffered() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      assertEquals(
          FEATURE
              | 1L << EchoDevice.REFUSED_FEATURE
              | 1L << ReservedFeatures.VIRTIO_F_INDIRECT_DESC
              | 1L << ReservedFeatures.VIRTIO_F_EVENT_IDX
              | 1L << ReservedFeatures.VIRTIO_F_RING_PACKED
              | 1L << ReservedFeatures.VIRTIO_F_RING_RESET
              | FrontEnd.VERSION_1
              | FrontEnd.PROTOCOL_BIT,
          frontEnd.get(VhostUserRequest.GET_FEATURES));
      assertEquals(
          ProtocolFeatures.mask(0, 3, 5, 9, 13, 15, 16),
          frontEnd.get(VhostUserRequest.GET_PROTOCOL_FEATURES));
      assertEquals(EchoDevice.QUEUES, frontEnd.get(VhostUserRequest.GET_QUEUE_NUM));
    }
  }

  @Test
  void withStatus() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      long protocol = frontEnd.get(VhostUserRequest.GET_PROTOCOL_FEATURES);
      frontEnd.negotiate(protocol, FEATURE | FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
      frontEnd.shareMemory();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.start(ring, 0);
      // QEMU 7.2 never sends DRIVER_OK for some devices: a ring that starts stands for it.
      assertEquals(0xf, frontEnd.get(VhostUserRequest.GET_STATUS));
      ring.echo("before DRIVER_OK");
      frontEnd.driverOk();
      ring.echo("after it");
      VhostUserStats stats = backEnd.server.stats();
      assertEquals(
          FeatureBits.of(EchoDevice.FEATURE, ReservedFeatures.VIRTIO_F_VERSION_1),
          stats.negotiated());
      assertEquals(protocol, stats.protocolFeatures());
    }
    Await.until("counted", () -> backEnd.server.stats().notificationsReceived() >= 2);
    assertEquals(2, backEnd.server.stats().chains());
    assertEquals(1, backEnd.server.stats().sessions());
    assertEquals(0, backEnd.server.stats().faults());
    assertEquals(0, backEnd.server.stats().protocolFaults());
  }

  @Test
  void withoutStatusARingThatStartsMeansDriverOk() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate(
          ProtocolFeatures.mask(ProtocolFeatures.MQ), FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
      frontEnd.shareMemory();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.start(ring, 0);
      ring.echo("no status");
      assertEquals(1, frontEnd.stop(ring));
    }
  }

  @Test
  void withoutStatusOtherFeaturesAreAReset() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate(0, FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
      frontEnd.shareMemory();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.start(ring, 0);
      ring.echo("one guest");
      frontEnd.stop(ring);
      frontEnd.set(
          VhostUserRequest.SET_FEATURES, FEATURE | FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
      FrontEnd.Ring second = frontEnd.ring(0);
      frontEnd.start(second, 0);
      second.echo("another guest");
      assertTrue(backEnd.server.stats().negotiated().has(EchoDevice.FEATURE));
    }
  }

  @Test
  void withoutProtocolFeaturesRingsNeedNoEnabling() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate(0, FrontEnd.VERSION_1);
      frontEnd.shareMemory();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.configure(ring, 0);
      frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, ring.kick);
      ring.echo("plain");
      assertEquals(1, frontEnd.stop(ring));
    }
  }

  @Test
  void withProtocolFeaturesARingWaitsUntilItIsEnabled() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate();
      frontEnd.shareMemory();
      frontEnd.driverOk();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.configure(ring, 0);
      frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, ring.kick);
      ring.submit("wait");
      ring.kick.signal();
      frontEnd.sync();
      assertEquals(0, ring.driver.pending());
      frontEnd.send(VhostUserRequest.SET_VRING_ENABLE, FrontEnd.state(0, 1));
      ring.expect("wait");
      frontEnd.send(VhostUserRequest.SET_VRING_ENABLE, FrontEnd.state(0, 0));
      frontEnd.sync();
      ring.submit("again");
      ring.kick.signal();
      frontEnd.sync();
      assertEquals(0, ring.driver.pending());
      frontEnd.send(VhostUserRequest.SET_VRING_ENABLE, FrontEnd.state(0, 1));
      ring.expect("again");
    }
  }

  @Test
  void featuresThatTheDeviceRefusesLeaveFeaturesOkClear() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.set(
          VhostUserRequest.SET_PROTOCOL_FEATURES, ProtocolFeatures.mask(ProtocolFeatures.STATUS));
      frontEnd.set(VhostUserRequest.SET_STATUS, 3);
      frontEnd.set(
          VhostUserRequest.SET_FEATURES,
          1L << EchoDevice.REFUSED_FEATURE | FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
      frontEnd.set(VhostUserRequest.SET_STATUS, 0xb);
      assertEquals(3, frontEnd.get(VhostUserRequest.GET_STATUS));
    }
  }

  @Test
  void withoutStatusFeaturesThatTheDeviceRefusesEndTheConnection() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate(
          0, 1L << EchoDevice.REFUSED_FEATURE | FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
      frontEnd.shareMemory();
      frontEnd.start(frontEnd.ring(0), 0);
      frontEnd.expectEnd();
    }
    backEnd.serveOneMore();
  }

  @ParameterizedTest
  @ValueSource(longs = {1L << 60, 1L << 38, 1L << 7, Long.MIN_VALUE})
  void featuresThatAreNotOfferedEndTheConnection(long features) throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.set(VhostUserRequest.SET_FEATURES, features);
      frontEnd.expectEnd();
    }
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.set(VhostUserRequest.SET_PROTOCOL_FEATURES, features);
      frontEnd.expectEnd();
    }
    backEnd.serveOneMore();
    assertEquals(2, backEnd.server.stats().protocolFaults());
  }

  @Test
  void resetDevice() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate();
      frontEnd.shareMemory();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.start(ring, 0);
      frontEnd.driverOk();
      ring.echo("before");
      assertEquals(0, frontEnd.acknowledged(VhostUserRequest.RESET_DEVICE, new byte[0]));
      assertEquals(0, frontEnd.get(VhostUserRequest.GET_STATUS));
      ring.submit("during");
      ring.kick.signal();
      frontEnd.sync();
      assertEquals(0, ring.driver.pending());
      frontEnd.set(VhostUserRequest.SET_STATUS, 3);
      frontEnd.set(VhostUserRequest.SET_FEATURES, FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT);
      frontEnd.set(VhostUserRequest.SET_STATUS, 0xb);
      FrontEnd.Ring fresh = frontEnd.ring(0);
      frontEnd.start(fresh, 0);
      frontEnd.driverOk();
      fresh.echo("after");
    }
  }

  @Test
  void resetOwnerStopsTheRings() throws IOException {
    try (FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate();
      frontEnd.shareMemory();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.start(ring, 0);
      frontEnd.driverOk();
      ring.echo("one");
      frontEnd.send(VhostUserRequest.RESET_OWNER, new byte[8]);
      frontEnd.sync();
      ring.submit("two");
      ring.kick.signal();
      assertEquals(1, frontEnd.stop(ring));
      assertEquals(0, ring.driver.pending());
    }
  }
}
