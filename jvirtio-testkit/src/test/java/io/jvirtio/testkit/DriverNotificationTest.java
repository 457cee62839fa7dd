// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Configuration change notifications on their way to a driver. */
class DriverNotificationTest {
  private static final long SECONDS = 30;

  private final ScriptedTransport transport =
      new ScriptedTransport(DeviceType.BLOCK.id()).config(new byte[VirtioBlk.CONFIG.size()]);
  private final TestDriverType type = new TestDriverType("test", transport.owner());
  private final Queue<Runnable> posted = new ArrayDeque<>();
  private DriverDevice device;

  @AfterEach
  void close() {
    device.close();
  }

  private void start(Executor executor) throws IOException {
    device = new DriverDevice(transport, DriverDevice.ringFeatures(), executor);
    device.start(type);
    runPosted();
    type.events.clear();
  }

  private void runPosted() {
    while (!posted.isEmpty()) {
      posted.remove().run();
    }
  }

  @Test
  void aDriverIsTold() throws IOException {
    start(Runnable::run);
    transport.notifyConfigurationChange();
    transport.notifyConfigurationChange();
    assertEquals(List.of("changed", "changed"), type.events);
  }

  @Test
  void manyThatArriveTogetherAreOne() throws IOException {
    start(posted::add);
    transport.notifyConfigurationChange();
    transport.notifyConfigurationChange();
    transport.notifyConfigurationChange();
    assertEquals(List.of(), type.events, "not on the transport's thread");
    runPosted();
    assertEquals(List.of("changed"), type.events);
    transport.notifyConfigurationChange();
    runPosted();
    assertEquals(List.of("changed", "changed"), type.events);
  }

  @Test
  void oneThatArrivesWhileADriverIsToldIsToldAfterwards() throws IOException {
    start(Runnable::run);
    type.in(
        "changed",
        d -> {
          type.in("changed", null);
          transport.notifyConfigurationChange();
          transport.notifyConfigurationChange();
          assertEquals(1, type.events.size(), "no call within a call");
        });
    transport.notifyConfigurationChange();
    assertEquals(List.of("changed", "changed"), type.events);
  }

  @Test
  void oneBeforeTheScanIsKept() throws IOException {
    device = new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);
    type.in("validate", d -> transport.notifyConfigurationChange())
        .in("probe", d -> transport.notifyConfigurationChange())
        .in("scan", d -> transport.notifyConfigurationChange());
    device.start(type);
    assertEquals(List.of("validate", "probe", "scan", "changed"), type.events);
  }

  @Test
  void oneWhileDisabledIsKept() throws IOException {
    start(Runnable::run);
    device.disableConfigurationChanges();
    device.disableConfigurationChanges();
    transport.notifyConfigurationChange();
    transport.notifyConfigurationChange();
    device.enableConfigurationChanges();
    assertEquals(List.of(), type.events);
    device.enableConfigurationChanges();
    assertEquals(List.of("changed"), type.events);
    assertThrows(IllegalStateException.class, device::enableConfigurationChanges);
    device.disableConfigurationChanges();
    device.enableConfigurationChanges();
    assertEquals(List.of("changed"), type.events, "nothing is told twice");
  }

  @Test
  void oneWhileFrozenIsKept() throws IOException {
    start(Runnable::run);
    type.in("freeze", d -> transport.notifyConfigurationChange());
    device.freeze();
    transport.notifyConfigurationChange();
    device.restore();
    assertEquals(List.of("freeze", "restore", "changed"), type.events);
  }

  @Test
  void nextDriverIsNotToldOfTheLastOnesChanges() throws IOException {
    start(posted::add);
    transport.notifyConfigurationChange();
    device.stop();
    device.start(type);
    runPosted();
    assertEquals(List.of("remove", "validate", "probe", "scan"), type.events);
  }

  @Test
  void aDriverThatGoesIsNotTold() throws IOException {
    start(Runnable::run);
    type.in("remove", d -> transport.notifyConfigurationChange());
    device.stop();
    assertEquals(List.of("remove"), type.events);
  }

  @Test
  void aDriverThatFailsHearsTheNextOne() throws IOException {
    start(Runnable::run);
    type.in(
        "changed",
        d -> {
          throw new IOException("a bug");
        });
    transport.notifyConfigurationChange();
    type.in("changed", null);
    transport.notifyConfigurationChange();
    assertEquals(List.of("changed", "changed"), type.events);
    assertTrue(device.isReady());
  }

  @Test
  @Requirement(
      section = "Device Status Field",
      text =
          "The driver SHOULD NOT rely on completion of operations of a device if DEVICE_NEEDS_RESET"
              + " is set.")
  void needsResetIsNoticedAlsoWhileDisabled() throws IOException {
    start(Runnable::run);
    device.disableConfigurationChanges();
    transport.needReset();
    assertEquals(State.BROKEN, device.state());
    assertTrue(type.last.queue.isBroken());
    transport.run();
    assertEquals(1, type.last.faults.size());
  }

  @Test
  void needsResetRightAfterDriverOkIsNoticed() throws IOException {
    device = new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);
    type.in("scan", d -> transport.needReset());
    device.start(type);
    assertEquals(State.BROKEN, device.state());
  }

  @Test
  void aDeviceThatDoesNotSayItsStatusIsLost() throws IOException {
    start(Runnable::run);
    transport.fail("status", new IOException("silence"));
    transport.notifyConfigurationChange();
    assertEquals(State.LOST, device.state());
    assertTrue(type.last.queue.isBroken());
    assertEquals(List.of(), type.events);
  }

  @Test
  void anExecutorThatTakesNothingDoesNoHarm() throws IOException {
    start(
        task -> {
          throw new RejectedExecutionException("closed");
        });
    transport.notifyConfigurationChange();
    assertEquals(List.of(), type.events);
  }

  @Test
  void theDevicesOwnThreadTells() throws Exception {
    BlockingQueue<Thread> threads = new LinkedBlockingQueue<>();
    type.in("changed", d -> threads.add(Thread.currentThread()));
    start(null);
    transport.notifyConfigurationChange();
    Thread thread = threads.poll(SECONDS, TimeUnit.SECONDS);
    assertNotSame(Thread.currentThread(), thread);
    assertTrue(thread.isDaemon());
    device.close();
    thread.join(TimeUnit.SECONDS.toMillis(SECONDS));
    assertFalse(thread.isAlive());
  }

  @Test
  void callsOfOneDriverDoNotOverlap() throws Exception {
    CountDownLatch inside = new CountDownLatch(1);
    CountDownLatch leave = new CountDownLatch(1);
    type.in(
        "changed",
        d -> {
          inside.countDown();
          try {
            assertTrue(leave.await(SECONDS, TimeUnit.SECONDS));
          } catch (InterruptedException e) {
            throw new IOException(e);
          }
          type.events.add("changed ends");
        });
    start(null);
    transport.notifyConfigurationChange();
    assertTrue(inside.await(SECONDS, TimeUnit.SECONDS));
    Thread closer = Thread.ofPlatform().start(device::close);
    while (closer.getState() != Thread.State.TIMED_WAITING) {
      Thread.onSpinWait();
    }
    assertEquals(List.of("changed"), type.events);
    leave.countDown();
    closer.join(TimeUnit.SECONDS.toMillis(SECONDS));
    assertEquals(List.of("changed", "changed ends", "remove"), type.events);
  }
}
