// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_RING_PACKED;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_RING_RESET;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_VERSION_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One queue is reset while its driver works, and what goes wrong then. */
class DriverQueueRestartTest {
  private static final Duration SOON = Duration.ofSeconds(10);

  private final ScriptedTransport transport =
      new ScriptedTransport(DeviceType.BLOCK.id()).config(new byte[96]);
  private final TestDriverType type = new TestDriverType("test", transport.owner());
  private final DriverDevice device =
      new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);
  private TestDriverType.TestDriver driver;

  @AfterEach
  void close() {
    device.close();
  }

  private void start(boolean packed) throws IOException {
    transport.offer(
        FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_F_RING_RESET)
            .withIf(packed, VIRTIO_F_RING_PACKED));
    device.start(type);
    driver = type.last;
  }

  private boolean send(Object token) {
    try {
      return driver.send(token);
    } catch (IOException | PeerFault e) {
      throw new AssertionError(e);
    }
  }

  private void answerAll() {
    transport.device(0).takeAll().forEach(buffer -> transport.device(0).use(buffer, 0));
    transport.device(0).publish();
    transport.run();
  }

  /** What was added at the reset has failed, which the driver is told once. */
  private void isBrokenAndRecovers(Object token) throws IOException {
    assertEquals(State.BROKEN, device.state());
    transport.run();
    assertEquals(1, driver.faults.size());
    assertTrue(driver.failed.contains(token));
    assertTrue(driver.inFlight.isEmpty());
    device.recover(SOON);
    assertEquals(State.LIVE, device.state());
    assertTrue(send("again"));
    answerAll();
    assertTrue(driver.done.contains("again"));
    assertEquals(1, driver.faults.size());
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void whatWasUsedComesBackAndTheRestIsHandedOut(boolean packed) throws IOException {
    start(packed);
    assertTrue(send("used"));
    transport.device(0).takeAll().forEach(buffer -> transport.device(0).use(buffer, 0));
    transport.device(0).publish();
    assertTrue(send("unused"));
    List<Object> unused = new ArrayList<>();
    transport.before("resetQueue", () -> assertTrue(send("meanwhile")));
    device.resetQueue(0, unused::add);
    assertEquals(List.of("used"), driver.done);
    assertEquals(List.of("unused", "meanwhile"), unused.stream().sorted(this::byAge).toList());
    assertEquals(State.LIVE, device.state());
  }

  private int byAge(Object one, Object other) {
    return Integer.compare(driver.inFlight.indexOf(one), driver.inFlight.indexOf(other));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aQueueThatIsNotEnabledAgainIsBroken(boolean packed) throws IOException {
    start(packed);
    transport.before(
        "enableQueue",
        () -> {
          assertTrue(send("a"));
          throw new IllegalStateException("no such luck");
        });
    assertThrows(IllegalStateException.class, () -> device.resetQueue(0, unused -> {}));
    transport.before("enableQueue", null);
    isBrokenAndRecovers("a");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aQueueThatIsNotResetIsBroken(boolean packed) throws IOException {
    start(packed);
    assertTrue(send("a"));
    transport.before(
        "resetQueue",
        () -> {
          throw new IllegalStateException("no such luck");
        });
    assertThrows(IllegalStateException.class, () -> device.resetQueue(0, unused -> {}));
    transport.before("resetQueue", null);
    isBrokenAndRecovers("a");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aDeviceThatLiesAtTheEndIsBroken(boolean packed) throws IOException {
    start(packed);
    assertTrue(send("a"));
    transport.device(0).put(77, 0);
    transport.device(0).publish();
    assertThrows(IOException.class, () -> device.resetQueue(0, unused -> {}));
    isBrokenAndRecovers("a");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void whoeverFailsAtWhatIsUnusedBreaksTheQueue(boolean packed) throws IOException {
    start(packed);
    assertTrue(send("a"));
    assertThrows(
        IllegalStateException.class,
        () ->
            device.resetQueue(
                0,
                unused -> {
                  throw new IllegalStateException("a bug");
                }));
    isBrokenAndRecovers("a");
  }
}
