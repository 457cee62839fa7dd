// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Our driver on our device through registers, each on its own thread: no interrupt is lost. */
class RegisterThreadedTest {
  private final Loops loops = new Loops();
  private RegisterBench bench;

  static List<RegisterKind> all() {
    return RegisterKind.all();
  }

  static List<RegisterKind> modern() {
    return RegisterKind.modern();
  }

  @AfterEach
  void close() {
    if (bench != null) {
      bench.close();
    }
    loops.close();
  }

  private RegisterBench bench(RegisterKind kind, int queues) throws IOException {
    bench =
        new RegisterBench(
            queues,
            loops.start("device", LoopMode.EVENT),
            loops.start("driver", LoopMode.EVENT),
            kind);
    return bench;
  }

  @ParameterizedTest
  @MethodSource("all")
  void everyBufferComesBack(RegisterKind kind) throws IOException {
    FeatureBits eventIdx = FeatureBits.of(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    bench(kind, 2);
    for (int depth : new int[] {1, 3, 20}) {
      for (FeatureBits without : List.of(FeatureBits.NONE, eventIdx)) {
        bench.startWithout(depth, without);
        bench.sendAndAwait(3000);
        bench.transport.reset();
        bench.transport.deleteQueues();
      }
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void nothingIsLostHoweverTheSidesMeet(RegisterKind kind) throws IOException {
    bench(kind, 1).start(2);
    bench.device.shake = Shake.of(2);
    bench.driver().shake = Shake.of(~2);
    // Only what comes back makes room for more, so what is lost stays lost.
    bench.sendAndAwait(5000);
  }

  @ParameterizedTest
  @MethodSource("all")
  void resetsWithRequestsInFlight(RegisterKind kind) throws IOException {
    bench(kind, 2).resetInFlight(10);
  }

  @ParameterizedTest
  @MethodSource("modern")
  void aQueueIsResetAndResizedWhileTheOtherRuns(RegisterKind kind) throws IOException {
    bench(kind, 2).start(10).resizeWhileTheOtherRuns(4);
  }

  @ParameterizedTest
  @MethodSource("all")
  void queuesMoveBetweenOwnersWhileTheyRun(RegisterKind kind) throws IOException {
    bench(kind, 1).start(2).moveWhileItRuns(loops.start("other", LoopMode.EVENT), 51, 50);
  }

  @ParameterizedTest
  @MethodSource("all")
  void configurationChangesComeFromAnyThread(RegisterKind kind) throws Exception {
    bench(kind, 1).start(2);
    bench.send(5_000);
    bench.changeConfiguration(200);
    bench.awaitAll();
    // Several may be told as one, but not the last as none.
    int told = bench.recorder.changes.get();
    assertTrue(told <= 200, told + " times");
    bench.device.config().change(() -> bench.device.config().set("capacity", 7));
    bench.until("told", () -> bench.recorder.changes.get() > told);
  }

  @ParameterizedTest
  @MethodSource("all")
  void aDeviceObjectRecoversFromAFault(RegisterKind kind) throws IOException {
    bench(kind, 2);
    try (DriverDevice found = new DriverDevice(bench.transport)) {
      EchoType type = new EchoType(2, bench.owner);
      found.start(type);
      List<EchoDriver> all = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        sendAll(type, 1_000_000_000);
        bench.device.fault();
        bench.until("broken", () -> found.state() == State.BROKEN);
        assertTrue(found.failure().getMessage().contains("needs a reset"));
        found.recover(Duration.ofMinutes(1));
        all.addAll(type.drivers);
      }
      sendAll(type, 100);
      bench.until("back", () -> type.drivers.stream().allMatch(EchoDriver::isDone));
      all.forEach(driver -> assertNull(driver.mismatch));
    }
  }

  private static void sendAll(EchoType type, long count) throws IOException {
    for (int i = 0; i < type.drivers.size(); i++) {
      EchoDriver driver = type.drivers.get(i);
      DriverQueue queue = type.queues.get(i);
      DriverQueueSet.onOwner(type.owner(), () -> driver.send(queue, count));
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void aDeviceObjectHearsThatTheDeviceIsGone(RegisterKind kind) throws IOException {
    bench(kind, 2);
    try (DriverDevice found = new DriverDevice(bench.transport)) {
      EchoType type = new EchoType(2, bench.owner);
      found.start(type);
      sendAll(type, 100);
      bench.until("back", () -> type.drivers.stream().allMatch(EchoDriver::isDone));
      bench.pair.remove().run();
      found.declareBroken(new PeerFault(FaultReason.DEVICE_SILENT, 0));
      assertThrows(IOException.class, () -> found.recover(Duration.ofSeconds(1)));
      bench.until("lost", () -> found.state() == State.LOST);
      assertEquals(0, type.drivers.stream().filter(d -> d.mismatch != null).count());
    }
  }
}
