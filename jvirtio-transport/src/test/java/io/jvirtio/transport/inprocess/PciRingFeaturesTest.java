// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
import io.jvirtio.transport.pci.PciDriverTransport;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import java.io.IOException;
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What needs the transport of a device object, on PCI; and what a buffer costs there. */
class PciRingFeaturesTest {
  private static final Duration SOON = Duration.ofMinutes(1);
  private byte[] witness;

  private static void send(EchoType type, int queue, long count) throws IOException {
    EchoDriver driver = type.drivers.get(queue);
    DriverQueueSet.onOwner(type.owner(), () -> driver.send(type.queues.get(queue), count));
  }

  private static void awaitAll(EchoType type, int queue) {
    EchoDriver driver = type.drivers.get(queue);
    EchoBench.await("queue " + queue, type.owner(), driver::isDone);
    assertNull(driver.mismatch);
    assertNull(driver.broken);
  }

  static Stream<Arguments> features() {
    FeatureBits all = DeviceHost.implementedFeatures();
    return Stream.of(
            all,
            all.without(ReservedFeatures.VIRTIO_F_RING_PACKED),
            all.without(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA),
            all.without(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA))
        .flatMap(f -> Stream.of(Attempt.values()).map(attempt -> Arguments.of(f, attempt)));
  }

  @ParameterizedTest
  @MethodSource("features")
  void aDeviceIsSuspendedAndItsQueuesResized(FeatureBits features, Attempt attempt)
      throws IOException {
    try (Loops loops = new Loops()) {
      EventLoop deviceOwner = loops.start("device", LoopMode.EVENT);
      EchoDevice echo = new EchoDevice(2);
      InProcessPci bus =
          new InProcessPci(
              echo, queue -> deviceOwner, PciOptions.defaults().withRingFeatures(features));
      PciDriverTransport transport =
          new PciDriverTransport(bus, PciDriverOptions.defaults().withAttempts(attempt));
      try (DriverDevice device = new DriverDevice(transport)) {
        EchoType type = new EchoType(2, loops.start("driver", LoopMode.EVENT));
        device.start(type);
        assertEquals(features.with(EchoDevice.FEATURE), device.features());
        suspendAndResize(device, type);
        assertEquals(0, echo.held.get());
        assertEquals(0, bus.function().host().faults());
        assertEquals(0, bus.function().counters().ignoredNotifications());
      }
    }
  }

  private static void suspendAndResize(DriverDevice device, EchoType type) throws IOException {
    EchoDriver first = type.drivers.getFirst();
    for (int i = 0; i < 10; i++) {
      send(type, 0, 200);
      send(type, 1, 200);
      device.suspend(SOON);
      assertTrue((device.transport().status() & DeviceStatus.SUSPEND) != 0);
      send(type, 0, 3);
      device.resume(SOON);
      int size = 4 << i % 5;
      device.resizeQueue(0, size, token -> first.again(type.queues.getFirst(), token));
      assertEquals(size, type.queues.getFirst().size());
      send(type, 0, 100);
      awaitAll(type, 0);
    }
    awaitAll(type, 1);
    assertEquals(State.LIVE, device.state());
  }

  @Test
  void aBufferAllocatesNothing() throws IOException, ReflectiveOperationException {
    PciKind kind = new PciKind(PciProfile.MODERN, Choice.MODERN, Attempt.MSIX_EACH, false);
    try (RegisterBench bench = RegisterBench.inline(kind)) {
      bench.start(16);
      long idle = allocatedBytes();
      witness = new byte[1 << 20];
      assertTrue(allocatedBytes() - idle >= witness.length);
      bench.sendAndAwait(300_000);
      long before = allocatedBytes();
      bench.sendAndAwait(300_000);
      long allocated = allocatedBytes() - before;
      // A class that loads late, or code that is compiled anew, may allocate once, never a buffer.
      assertTrue(allocated < 30_000, allocated + " bytes for 300000 buffers");
    }
  }

  /** By reflection, because the module under test does not read {@code jdk.management}. */
  private static long allocatedBytes() throws ReflectiveOperationException {
    Object bean =
        Class.forName("java.lang.management.ManagementFactory")
            .getMethod("getThreadMXBean")
            .invoke(null);
    Method method =
        Class.forName("com.sun.management.ThreadMXBean")
            .getMethod("getCurrentThreadAllocatedBytes");
    return (long) method.invoke(bean);
  }
}
