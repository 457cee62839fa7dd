// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.EchoDevice;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class ServerTest {
  @TempDir Path directory;

  @Test
  void stopEndsTheWaitForAFrontEnd() throws Exception {
    try (BackEnd backEnd = new BackEnd(directory)) {
      backEnd.server.stop();
      backEnd.join();
    }
  }

  @Test
  void stopEndsTheWaitForAMessage() throws Exception {
    try (BackEnd backEnd = new BackEnd(directory);
        FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.negotiate();
      frontEnd.shareMemory();
      FrontEnd.Ring ring = frontEnd.ring(0);
      frontEnd.start(ring, 0);
      frontEnd.driverOk();
      ring.echo("running");
      backEnd.server.stop();
      backEnd.join();
      frontEnd.expectEnd();
    }
  }

  @Test
  void stopEndsTheWaitForTheRestOfAMessage() throws Exception {
    try (BackEnd backEnd = new BackEnd(directory);
        FrontEnd frontEnd = backEnd.connect()) {
      frontEnd.sync();
      frontEnd.raw(FrontEnd.header(VhostUserRequest.SET_FEATURES.id(), 1, 8));
      backEnd.server.stop();
      backEnd.join();
      frontEnd.expectEnd();
    }
  }

  @Test
  void oneShotServesOneFrontEnd() throws Exception {
    try (BackEnd backEnd = new BackEnd(directory, BackEnd.options().withOneShot(true))) {
      backEnd.serveOneMore();
      backEnd.join();
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void everyModeServesManyFrontEnds(LoopMode mode) throws IOException {
    List<String> none = Await.descriptors();
    try (BackEnd backEnd =
        new BackEnd(directory, BackEnd.options().withMode(mode).withWorkers(1))) {
      List<String> before = backEnd.warmUp();
      for (int i = 0; i < 10; i++) {
        backEnd.serveOneMore();
      }
      Await.descriptors(before);
      VhostUserStats stats = backEnd.server.stats();
      assertEquals(11, stats.sessions());
      assertEquals(11, stats.chains());
      assertEquals(0, stats.protocolFaults());
    }
    Await.descriptors(none);
  }

  @Test
  void aConnectedSocketIsServedToo() throws Exception {
    List<String> before = Await.descriptors();
    try (VhostUserServer server = new VhostUserServer(new EchoDevice(), BackEnd.options())) {
      UnixSocket[] pair = UnixSocket.pair(server.waker());
      Thread control = Thread.ofPlatform().start(() -> server.serve(pair[1]));
      try (FrontEnd frontEnd = new FrontEnd(pair[0], RingFormat.SPLIT)) {
        frontEnd.negotiate();
        frontEnd.shareMemory();
        FrontEnd.Ring ring = frontEnd.ring(2);
        frontEnd.start(ring, 0);
        frontEnd.driverOk();
        ring.echo("handed down");
      }
      control.join();
      pair[1].close();
    }
    Await.descriptors(before);
  }

  @Test
  void ringFeaturesCanBeLeftOut() throws IOException {
    VhostUserOptions plain =
        BackEnd.options().withRingFeatures(FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1));
    try (BackEnd backEnd = new BackEnd(directory, plain);
        FrontEnd frontEnd = backEnd.connect()) {
      assertEquals(
          FrontEnd.VERSION_1 | FrontEnd.PROTOCOL_BIT | 3L << EchoDevice.FEATURE,
          frontEnd.get(VhostUserRequest.GET_FEATURES));
    }
  }

  /** What needs more than a kick and the messages that are served. */
  @ParameterizedTest
  @ValueSource(
      ints = {
        ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM,
        ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
        ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
        ReservedFeatures.VIRTIO_F_SUSPEND
      })
  void whatIsNotCarriedIsNotOffered(int bit) {
    FeatureBits more = BackEnd.options().ringFeatures().with(bit);
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class, () -> BackEnd.options().withRingFeatures(more));
    assertTrue(
        e.getMessage().startsWith(ReservedFeatures.nameOf(bit) + " cannot be offered over vhost"),
        e.getMessage());
  }

  @Test
  void withoutAWorkerNothingRuns() {
    assertThrows(IllegalArgumentException.class, () -> BackEnd.options().withWorkers(0));
  }
}
