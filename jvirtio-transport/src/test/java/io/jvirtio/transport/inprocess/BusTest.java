// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.DriverType;
import io.jvirtio.driver.VirtioBus;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Devices behind this transport on a bus, with a driver that the bus starts and stops. */
@ParameterizedClass
@EnumSource
class BusTest {
  /** On which threads the two sides are. */
  private enum Sides {
    INLINE,
    THREADED
  }

  private final InProcessOptions options;
  private final Loops loops = new Loops();
  private EchoDevice echo = new EchoDevice(1);
  private final VirtioBus bus = new VirtioBus();
  private QueueOwner owner;
  private InProcessTransport transport;
  private DriverDevice device;

  BusTest(RingFormat format) {
    options = Bench.options(format);
  }

  private final class EchoType implements DriverType {
    @Override
    public String name() {
      return "echo";
    }

    @Override
    public List<DeviceId> ids() {
      return List.of(DeviceId.ofDevice(42));
    }

    @Override
    public FeatureBits features() {
      return FeatureBits.of(EchoDevice.FEATURE, EchoDevice.HIGH_FEATURE);
    }

    @Override
    public Driver probe(DriverDevice probed) throws IOException {
      return new Bound(probed);
    }
  }

  private final class Bound implements Driver {
    final DriverDevice device;
    EchoDriver driver;
    DriverQueue queue;

    Bound(DriverDevice device) throws IOException {
      this.device = device;
      restore();
    }

    @Override
    public void remove() {
      device.resetAndDelete();
    }

    @Override
    public void freeze() {
      device.resetAndDelete();
    }

    @Override
    public void restore() throws IOException {
      driver = new EchoDriver(device.transport(), 4);
      queue = device.findQueues(List.of(driver.request(owner))).getFirst();
    }

    void send(long count) throws IOException {
      DriverQueueSet.onOwner(owner, () -> driver.send(queue, count));
    }
  }

  private void start(Sides sides, InProcessOptions how) throws IOException {
    InlineOwner inline = new InlineOwner();
    boolean threaded = sides == Sides.THREADED;
    owner = threaded ? loops.start("driver", LoopMode.ADAPTIVE) : inline;
    transport =
        new InProcessTransport(
            echo, threaded ? loops.start("device", LoopMode.ADAPTIVE) : inline, how);
    bus.register(new EchoType());
    device = bus.add(transport);
    assertEquals(DriverDevice.State.LIVE, device.state());
  }

  @AfterEach
  void close() {
    bus.close();
    loops.close();
  }

  private Bound bound() {
    return (Bound) device.driver();
  }

  private void until(BooleanSupplier condition) {
    long start = System.nanoTime();
    while (!condition.getAsBoolean()) {
      if (owner instanceof InlineOwner inline) {
        inline.runUntilIdle();
      } else {
        LockSupport.parkNanos(100_000);
      }
      assertTrue(System.nanoTime() - start < EchoBench.DEADLINE.toNanos(), device.toString());
    }
  }

  private void works() throws IOException {
    EchoDriver driver = bound().driver;
    bound().send(1000);
    until(driver::isDone);
    assertNull(driver.mismatch);
  }

  @ParameterizedTest
  @EnumSource
  void aDriverIsFoundAndWorks(Sides sides) throws IOException {
    start(sides, options);
    assertTrue(device.hasFeature(EchoDevice.HIGH_FEATURE));
    assertFalse(device.hasFeature(EchoDevice.REFUSED_FEATURE));
    assertEquals(0x1122334455667788L, device.config(echo.config().struct()).get("capacity"));
    works();
    device.freeze();
    device.restore();
    works();
  }

  @ParameterizedTest
  @EnumSource
  void aQueueHasWhatItsFormatAllowsOfTheDevicesSize(Sides sides) throws IOException {
    echo = new EchoDevice(1, 42, 29);
    start(sides, options);
    boolean packed = device.hasFeature(ReservedFeatures.VIRTIO_F_RING_PACKED);
    assertEquals(packed ? 29 : 16, transport.queueMaxSize(0));
    assertEquals(packed ? 29 : 16, bound().queue.size());
    works();
  }

  @ParameterizedTest
  @EnumSource
  void aLegacyConfigurationIsReadInItsOrder(Sides sides) throws IOException {
    start(sides, options.withLegacy(true));
    assertEquals(0x1122334455667788L, device.config(echo.config().struct()).get("capacity"));
    device.config(echo.config().struct()).set("mode", 0x0506);
    assertEquals(0x0506, echo.mode);
    works();
  }

  @ParameterizedTest
  @EnumSource
  void aDeviceThatNeedsAResetRecovers(Sides sides) throws IOException {
    start(sides, options);
    for (int i = 0; i < 10; i++) {
      works();
      echo.fault();
      bound().send(4);
      until(() -> device.state() == DriverDevice.State.BROKEN);
      device.recover(EchoBench.DEADLINE);
      assertEquals(DriverDevice.State.LIVE, device.state());
    }
    works();
  }

  @ParameterizedTest
  @EnumSource
  void aDeviceGoesWithRequestsInFlight(Sides sides) throws IOException {
    start(sides, options);
    Bound bound = bound();
    echo.hold();
    bound.send(4);
    until(() -> echo.held.get() == 4);
    echo.hold(3);
    bus.remove(device);
    assertEquals(DriverDevice.State.REMOVED, device.state());
    assertTrue(bound.queue.isBroken());
    assertEquals(0, echo.held.get());
    // Another may drive it now.
    transport = new InProcessTransport(echo, new InlineOwner(), options);
    owner = new InlineOwner();
    device = bus.add(transport);
    assertEquals(DriverDevice.State.LIVE, device.state());
  }
}
