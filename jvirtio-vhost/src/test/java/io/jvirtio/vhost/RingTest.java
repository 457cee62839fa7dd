// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.jvirtio.linux.EventFd;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Rings that start, stop, go on, break and heal. */
@ParameterizedClass
@EnumSource
class RingTest {
  private static final int NEEDS_RESET = 0x40;

  @Parameter RingFormat format;
  @TempDir Path directory;
  private BackEnd backEnd;
  private FrontEnd frontEnd;

  @BeforeEach
  void connect() throws IOException {
    backEnd = new BackEnd(directory);
    frontEnd = backEnd.connect(format);
    frontEnd.negotiate();
    frontEnd.shareMemory();
  }

  @AfterEach
  void end() {
    frontEnd.close();
    backEnd.close();
  }

  private FrontEnd.Ring started(int index) throws IOException {
    FrontEnd.Ring ring = frontEnd.ring(index);
    frontEnd.start(ring, 0);
    return ring;
  }

  private void enable(FrontEnd.Ring ring, boolean on) throws IOException {
    frontEnd.send(VhostUserRequest.SET_VRING_ENABLE, FrontEnd.state(ring.index, on ? 1 : 0));
  }

  @Test
  void aRingThatIsNotToldItsBaseStartsAsAfterAReset() throws IOException {
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.send(VhostUserRequest.SET_VRING_NUM, FrontEnd.state(0, ring.layout.size()));
    frontEnd.send(VhostUserRequest.SET_VRING_ADDR, ring.address());
    frontEnd.fd(VhostUserRequest.SET_VRING_CALL, 0, ring.call);
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, ring.kick);
    enable(ring, true);
    frontEnd.driverOk();

    ring.echo("first buffer");
  }

  @Test
  void aStoppedRingGoesOnWhereItWas() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    for (int i = 0; i < 37; i++) {
      ring.echo("buffer " + i);
    }
    assertEquals(ring.base(37), frontEnd.stop(ring));
    ring.submit("while it is stopped");
    ring.kick.signal();
    frontEnd.sync();
    assertEquals(0, ring.driver.pending());
    frontEnd.start(ring, 37);
    ring.expect("while it is stopped");
    ring.echo("and on");
    assertEquals(ring.base(39), frontEnd.stop(ring));
  }

  @Test
  void aPausedMachineGoesOnWhereItWas() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    for (int i = 0; i < 5; i++) {
      ring.echo("buffer " + i);
    }
    // The order of QEMU: status, then enable, then the index.
    frontEnd.set(VhostUserRequest.SET_STATUS, 0);
    enable(ring, false);
    assertEquals(ring.base(5), frontEnd.stop(ring));
    ring.submit("paused");
    frontEnd.set(VhostUserRequest.SET_FEATURES, frontEnd.features());
    frontEnd.sendTable(frontEnd.memfd);
    frontEnd.start(ring, 5);
    frontEnd.set(VhostUserRequest.SET_STATUS, 0xf);
    ring.expect("paused");
    ring.echo("running");
    assertEquals(ring.base(7), frontEnd.stop(ring));
  }

  @Test
  void theIndexOfARingThatNeverRanIsItsBase() throws IOException {
    FrontEnd.Ring ring = frontEnd.ring(1);
    assertEquals(0, frontEnd.stop(ring));
    frontEnd.send(VhostUserRequest.SET_VRING_BASE, FrontEnd.state(1, 0xffff));
    // A packed ring has two, which are the same when it does not run.
    assertEquals(format == RingFormat.PACKED ? -1 : 0xffff, frontEnd.stop(ring));
  }

  @Test
  void queuesRunOnDifferentWorkers() throws IOException {
    FrontEnd.Ring[] rings = {started(0), started(1), started(2)};
    frontEnd.driverOk();
    for (int i = 0; i < 20; i++) {
      for (FrontEnd.Ring ring : rings) {
        ring.echo("queue " + ring.index + " buffer " + i);
      }
    }
    for (FrontEnd.Ring ring : rings) {
      assertEquals(ring.base(20), frontEnd.stop(ring));
    }
  }

  @Test
  void withoutAKickDescriptorTheRingIsPolled() throws IOException {
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.configure(ring, 0);
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, null);
    enable(ring, true);
    frontEnd.driverOk();
    for (int i = 0; i < 3; i++) {
      ring.submit("polled");
      ring.expect("polled");
    }
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, ring.kick);
    ring.echo("kicked");
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, null);
    ring.submit("polled again");
    ring.expect("polled again");
    assertEquals(ring.base(5), frontEnd.stop(ring));
  }

  @Test
  void withoutACallDescriptorTheDriverPolls() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.fd(VhostUserRequest.SET_VRING_CALL, 0, null);
    frontEnd.driverOk();
    ring.submit("quiet");
    ring.kick.signal();
    ring.expect("quiet");
    frontEnd.stop(ring);
    assertEquals(0, ring.call.drain());
  }

  @Test
  void theCallDescriptorCanChangeWhileTheRingRuns() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    ring.echo("old");
    ring.call = frontEnd.own(EventFd.create());
    frontEnd.fd(VhostUserRequest.SET_VRING_CALL, 0, ring.call);
    // What was announced on the old one only is not lost.
    Await.until("call on the new descriptor", () -> ring.call.drain() > 0);
    ring.echo("new");
  }

  @Test
  void theKickDescriptorCanChangeWhileTheRingRuns() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    ring.echo("old");
    EventFd other = frontEnd.own(EventFd.create());
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, other);
    frontEnd.sync();
    ring.submit("new");
    other.signal();
    ring.expect("new");
  }

  @Test
  void memoryIsReplacedUnderARunningQueue() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    ring.echo("old mapping");
    for (int i = 0; i < 20; i++) {
      ring.submit("in between");
      ring.kick.signal();
      frontEnd.sendTable(frontEnd.memfd);
      ring.expect("in between");
    }
    assertEquals(
        0,
        frontEnd.acknowledged(
            VhostUserRequest.SET_MEM_TABLE,
            FrontEnd.table(new long[] {FrontEnd.GUEST, FrontEnd.SIZE, FrontEnd.USER, 0}),
            frontEnd.memfd.value()));
    ring.echo("new mapping");
    assertEquals(ring.base(22), frontEnd.stop(ring));
  }

  @Test
  void requestsInFlightCompleteBeforeTheirMemoryGoes() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    backEnd.device.hold();
    ring.submit("first");
    ring.submit("second");
    ring.kick.signal();
    Await.until("in flight", () -> backEnd.device.held() == 2);
    frontEnd.sendTable(frontEnd.memfd);
    frontEnd.send(VhostUserRequest.GET_FEATURES, new byte[0]);
    backEnd.device.release();
    ring.expect("first");
    ring.expect("second");
    frontEnd.receive(VhostUserRequest.GET_FEATURES);
    ring.echo("third");
  }

  @Test
  void aStopWaitsForWhatIsInFlight() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    backEnd.device.hold();
    ring.submit("slow");
    ring.kick.signal();
    Await.until("in flight", () -> backEnd.device.held() == 1);
    frontEnd.send(VhostUserRequest.GET_VRING_BASE, FrontEnd.state(0, 0));
    backEnd.device.release();
    var reply = frontEnd.receive(VhostUserRequest.GET_VRING_BASE).payload();
    assertEquals(0, reply.getInt());
    assertEquals(ring.base(1), reply.getInt());
    assertEquals(1, ring.driver.pending());
    ring.expect("slow");
  }

  @Test
  void aFrontEndThatLeavesWithRequestsInFlight() throws IOException {
    FrontEnd.Ring ring = started(0);
    frontEnd.driverOk();
    backEnd.device.hold();
    ring.submit("abandoned");
    ring.kick.signal();
    Await.until("in flight", () -> backEnd.device.held() == 1);
    frontEnd.close();
    backEnd.device.release();
    backEnd.serveOneMore();
  }

  @Test
  void aBrokenRingSignalsItsErrorAndHarmsNoOther() throws IOException {
    FrontEnd.Ring broken = started(0);
    FrontEnd.Ring sound = started(1);
    EventFd error = frontEnd.own(EventFd.create());
    frontEnd.fd(VhostUserRequest.SET_VRING_ERR, 0, error);
    frontEnd.driverOk();
    broken.echo("sound");
    // An address that is nowhere.
    broken.driver.chain().readableAt(16, 16).submit();
    broken.kick.signal();
    Await.until("error", () -> error.drain() > 0);
    assertEquals(0xf | NEEDS_RESET, frontEnd.get(VhostUserRequest.GET_STATUS));
    assertEquals(1, backEnd.server.stats().faults());
    sound.echo("the other one");

    frontEnd.set(VhostUserRequest.SET_STATUS, 0);
    assertEquals(0, frontEnd.get(VhostUserRequest.GET_STATUS));
    frontEnd.set(VhostUserRequest.SET_STATUS, 3);
    frontEnd.set(VhostUserRequest.SET_FEATURES, frontEnd.features());
    frontEnd.set(VhostUserRequest.SET_STATUS, 0xb);
    FrontEnd.Ring healed = started(0);
    frontEnd.driverOk();
    healed.echo("healed");
    frontEnd.fd(VhostUserRequest.SET_VRING_ERR, 0, null);
    frontEnd.sync();
  }

  @Test
  void aRingWhoseMemoryIsTakenAwayBreaks() throws IOException {
    FrontEnd.Ring ring = started(0);
    EventFd error = frontEnd.own(EventFd.create());
    frontEnd.fd(VhostUserRequest.SET_VRING_ERR, 0, error);
    frontEnd.driverOk();
    ring.echo("here");
    frontEnd.send(
        VhostUserRequest.REM_MEM_REG,
        FrontEnd.region(FrontEnd.GUEST, FrontEnd.SIZE, FrontEnd.USER, 0));
    frontEnd.sync();
    assertNotEquals(0, error.drain());
    assertEquals(0xf | NEEDS_RESET, frontEnd.get(VhostUserRequest.GET_STATUS));
  }

  @Test
  void aRingThatIsNotAlignedBreaks() throws IOException {
    FrontEnd.Ring ring = frontEnd.ring(0);
    EventFd error = frontEnd.own(EventFd.create());
    frontEnd.fd(VhostUserRequest.SET_VRING_ERR, 0, error);
    byte[] address = ring.address();
    address[8] |= 1;
    frontEnd.send(VhostUserRequest.SET_VRING_NUM, FrontEnd.state(0, 16));
    frontEnd.send(VhostUserRequest.SET_VRING_ADDR, address);
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, ring.kick);
    enable(ring, true);
    frontEnd.set(VhostUserRequest.SET_STATUS, 0xf);
    frontEnd.sync();
    assertNotEquals(0, error.drain());
    assertEquals(0xf | NEEDS_RESET, frontEnd.get(VhostUserRequest.GET_STATUS));
  }
}
