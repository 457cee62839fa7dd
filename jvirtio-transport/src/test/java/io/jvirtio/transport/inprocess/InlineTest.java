// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Driver and device on the calling thread: everything is deterministic. */
class InlineTest {
  private static final Duration DEADLINE = Duration.ofSeconds(20);

  private final EchoDevice device = new EchoDevice(2);
  private final InlineOwner owner = new InlineOwner();
  private final Recorder recorder = new Recorder();
  private InProcessTransport transport =
      new InProcessTransport(device, owner, InProcessOptions.defaults());

  @AfterEach
  void close() {
    transport.close();
  }

  private static final class Recorder implements TransportListener {
    int changes;
    final List<Integer> broken = new ArrayList<>();

    @Override
    public void configurationChanged() {
      changes++;
    }

    @Override
    public void queueBroken(int queue, PeerFault fault) {
      assertEquals(FaultReason.DEVICE_NEEDS_RESET, fault.reason());
      broken.add(queue);
    }

    @Override
    public void lost(IOException reason) {
      throw new AssertionError(reason);
    }
  }

  private void plug(InProcessOptions options) {
    transport.close();
    transport = new InProcessTransport(device, owner, options);
  }

  /** A driver of queue 0 on a live device. */
  private EchoDriver start(int depth) throws IOException {
    EchoDriver.negotiate(transport);
    EchoDriver driver = new EchoDriver(transport, depth);
    transport.findQueues(List.of(driver.request(owner)));
    EchoDriver.driverOk(transport);
    return driver;
  }

  private DriverQueue queue(int depth, EchoDriver[] driver) throws IOException {
    EchoDriver.negotiate(transport);
    driver[0] = new EchoDriver(transport, depth);
    DriverQueue queue = transport.findQueues(List.of(driver[0].request(owner))).getFirst();
    EchoDriver.driverOk(transport);
    return queue;
  }

  private void sendsAndReceives(EchoDriver driver, DriverQueue queue, long count) {
    long before = driver.completed;
    driver.send(queue, count);
    owner.runUntilIdle();
    assertNull(driver.mismatch);
    assertEquals(before + count, driver.completed);
    assertEquals(0, queue.inFlight());
  }

  @Test
  void buffersComeBack() throws IOException {
    EchoDriver[] driver = new EchoDriver[1];
    DriverQueue queue = queue(20, driver);
    sendsAndReceives(driver[0], queue, 200_000);
    assertEquals(0, transport.host().faults());
  }

  @Test
  void aSynchronousCallDoesTheDevicesWork() throws IOException {
    EchoDriver[] driver = new EchoDriver[1];
    DriverQueue queue = queue(1, driver);
    driver[0].send(queue, 1);
    assertEquals(0, driver[0].completed);
    assertTrue(owner.runUntil(driver[0]::isDone, DEADLINE));
    assertEquals(1, driver[0].completed);
  }
}
