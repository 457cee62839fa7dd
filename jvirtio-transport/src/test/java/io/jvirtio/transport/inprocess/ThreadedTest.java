// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Driver and device on threads of their own: no notification is lost, and control calls end. */
@ParameterizedClass
@EnumSource
class ThreadedTest {
  private final InProcessOptions options;
  private final Loops loops = new Loops();
  private Bench bench;

  ThreadedTest(RingFormat format) {
    options = Bench.options(format);
  }

  @AfterEach
  void close() {
    if (bench != null) {
      bench.close();
    }
    loops.close();
  }

  private Bench bench(LoopMode mode, int queues) throws IOException {
    bench = new Bench(queues, loops.start("device", mode), loops.start("driver", mode), options);
    return bench;
  }

  static Stream<Arguments> races() {
    List<Arguments> all = new ArrayList<>();
    for (LoopMode mode : LoopMode.values()) {
      for (boolean eventIdx : new boolean[] {true, false}) {
        // One buffer at a time goes to sleep with each; with a few, both sides sleep now and then.
        for (int depth : new int[] {1, 3, 20}) {
          all.add(Arguments.of(mode, eventIdx, depth));
        }
      }
    }
    return all.stream();
  }

  @ParameterizedTest
  @MethodSource("races")
  void everyBufferComesBack(LoopMode mode, boolean eventIdx, int depth) throws IOException {
    bench(mode, 1);
    FeatureBits features = bench.transport.deviceFeatures().without(EchoDevice.REFUSED_FEATURE);
    bench.start(depth, eventIdx ? features : features.without(ReservedFeatures.VIRTIO_F_EVENT_IDX));
    // Two threads that never sleep make slow progress where there are few processors.
    int many = mode == LoopMode.POLL ? 50_000 : 200_000;
    bench.sendAndAwait(depth == 1 ? 30_000 : many);
  }

  @ParameterizedTest
  @MethodSource("races")
  void nothingIsLostHoweverTheSidesMeet(LoopMode mode, boolean eventIdx, int depth)
      throws IOException {
    bench(mode, 1);
    FeatureBits features = bench.transport.deviceFeatures().without(EchoDevice.REFUSED_FEATURE);
    bench.start(depth, eventIdx ? features : features.without(ReservedFeatures.VIRTIO_F_EVENT_IDX));
    bench.device.shake = Shake.of(depth);
    bench.driver().shake = Shake.of(~depth);
    // Only what comes back makes room for more, so what is lost stays lost.
    bench.sendAndAwait(20_000);
  }

  @ParameterizedTest
  @EnumSource
  void manyQueuesShareTheirOwners(LoopMode mode) throws IOException {
    bench(mode, 4).start(5);
    bench.sendAndAwait(50_000);
  }

  @ParameterizedTest
  @EnumSource
  void bothSidesMayHaveOneOwner(LoopMode mode) throws IOException {
    EventLoop loop = loops.start("both", mode);
    bench = new Bench(2, loop, loop, options);
    bench.start(5);
    bench.sendAndAwait(100_000);
    bench.send(1_000_000);
    // On the loop itself, which is also whom the control plane would wait for.
    bench.onOwner(
        () -> {
          try {
            bench.transport.memory().allocate(8 << 20, 1);
            bench.transport.reset();
          } catch (IOException e) {
            throw new AssertionError(e);
          }
        });
    bench.transport.deleteQueues();
    bench.start(3);
    bench.sendAndAwait(1000);
  }

  @Test
  void theCallerRunsTheLoopOfBothSides() throws IOException {
    EventLoop loop = loops.onCaller();
    bench = new Bench(1, loop, loop, options);
    bench.start(8);
    for (int i = 0; i < 10_000; i++) {
      bench.send(1);
      runUntilDone(loop);
    }
    bench.device.hold(5);
    bench.send(8);
    assertTrue(loop.runUntil(() -> bench.device.held.get() == 8, EchoBench.DEADLINE));
    bench.transport.reset();
    assertEquals(0, bench.device.held.get());
  }

  /** What comes without a notification would be found too, at the deadline: that is too late. */
  private void runUntilDone(EventLoop loop) {
    long start = System.nanoTime();
    assertTrue(loop.runUntil(bench.driver()::isDone, EchoBench.DEADLINE));
    assertTrue(System.nanoTime() - start < EchoBench.DEADLINE.toNanos());
  }

  @Test
  void theCallerWaitsForADeviceOnAThread() throws IOException {
    EventLoop loop = loops.onCaller();
    bench = new Bench(1, loops.start("device", LoopMode.EVENT), loop, options);
    bench.start(8);
    for (int i = 0; i < 10_000; i++) {
      bench.send(i % 8 + 1);
      runUntilDone(loop);
    }
    assertNull(bench.driver().mismatch);
  }

  @ParameterizedTest
  @EnumSource
  void resetsWithRequestsInFlight(LoopMode mode) throws IOException {
    bench(mode, 2).resetInFlight(50);
  }

  @Test
  void aResetWaitsForWhatTheDeviceHas() throws Exception {
    bench(LoopMode.EVENT, 1).start(4);
    bench.device.hold();
    bench.send(4);
    bench.until("held", () -> bench.device.held.get() == 4);
    Thread releases =
        Thread.ofVirtual()
            .start(
                () -> {
                  // The status is only cleared once the queue has ended.
                  bench.device.release();
                  bench.deviceOwner().wakeUp();
                });
    bench.transport.reset();
    releases.join();
    assertEquals(0, bench.device.held.get());
    assertEquals(0, bench.transport.status());
  }

  @ParameterizedTest
  @EnumSource
  void aQueueIsResetAndResizedWhileTheOtherRuns(LoopMode mode) throws IOException {
    bench(mode, 2).start(10).resizeWhileTheOtherRuns(40);
  }

  @ParameterizedTest
  @EnumSource
  void aFaultIsToldAndHealed(LoopMode mode) throws IOException {
    bench(mode, 2);
    for (int i = 0; i < 20; i++) {
      bench.recorder.broken.clear();
      bench.start(4);
      bench.send(1_000_000_000);
      bench.device.fault();
      for (EchoDriver driver : bench.drivers) {
        bench.until("told", () -> driver.broken != null);
        assertEquals(FaultReason.DEVICE_NEEDS_RESET, driver.broken.reason());
      }
      bench.until("listener told", () -> bench.recorder.broken.size() == 2);
      assertTrue(bench.recorder.changes.get() > 0);
      bench.transport.reset();
      bench.transport.deleteQueues();
    }
    bench.start(4).send(1000);
    bench.until("all back", () -> bench.drivers.stream().allMatch(EchoDriver::isDone));
  }

  @ParameterizedTest
  @EnumSource
  void memoryGrowsWhileQueuesRun(LoopMode mode) throws IOException {
    bench(mode, 2).start(6);
    bench.send(100_000);
    List<MemorySegment> pieces = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      pieces.add(bench.transport.memory().allocate(1 << 20, 64));
    }
    assertTrue(bench.transport.memory().regions().size() > 20);
    bench.awaitAll();
    // What is in the newest region reaches the device.
    bench.transport.reset();
    bench.transport.deleteQueues();
    bench.start(6);
    bench.sendAndAwait(1000);
    pieces.forEach(bench.transport.memory()::release);
  }

  @ParameterizedTest
  @EnumSource
  void queuesMoveBetweenOwnersWhileTheyRun(LoopMode mode) throws IOException {
    bench(mode, 1).start(2).moveWhileItRuns(loops.start("other", mode), 201, 200);
  }

  @Test
  void aConfigurationChangeComesFromAnyThread() throws Exception {
    bench(LoopMode.EVENT, 1).start(2);
    bench.send(20_000);
    bench.changeConfiguration(1000);
    assertEquals(1000, bench.recorder.changes.get());
    assertEquals(1000, bench.transport.configGeneration());
    bench.awaitAll();
  }

  @Test
  void anOwnerMayAllocateAndReadWhileTheControlThreadIsBusy() throws IOException {
    bench(LoopMode.EVENT, 1).start(4);
    EventLoop driver = (EventLoop) bench.owner;
    List<IOException> failures = new ArrayList<>();
    for (int i = 0; i < 50; i++) {
      driver.execute(
          () -> {
            try {
              bench.transport.memory().allocate(1 << 20, 1);
              bench.transport.readConfig(0, new byte[8]);
              bench.transport.status();
            } catch (IOException e) {
              failures.add(e);
            }
          });
      bench.transport.resetQueue(0);
      bench.transport.enableQueue(0, 16);
      bench.transport.synchronizeCallbacks();
    }
    DriverQueueSet.onOwner(driver, () -> assertEquals(List.of(), failures));
    assertFalse(bench.queue().isBroken());
    bench.sendAndAwait(100);
  }
}
