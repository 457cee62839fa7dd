// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.MemoryRegion;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueLayout;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * Random drivers, honest and not, against a device and against a model of it that share no code. A
 * failure names its seed; {@code -Djvirtio.seed=N} runs that one alone.
 */
class ModelTest {
  private static final int SEEDS = 1500;
  private static final int BATCHES = 40;

  private final Map<FaultReason, Integer> faults = new EnumMap<>(FaultReason.class);
  private int batches;

  @Test
  void deviceAndModelAgree() {
    Long one = Long.getLong("jvirtio.seed");
    if (one != null) {
      session(one);
      return;
    }
    long fresh = new Random().nextLong();
    for (int i = 0; i < SEEDS; i++) {
      // Two thirds are the same in every run, the rest are new.
      session(i % 3 == 2 ? fresh + i : i);
    }
    // The generator really reaches what it is for.
    for (FaultReason reason :
        new FaultReason[] {
          FaultReason.ADDRESS_OUTSIDE_MEMORY,
          FaultReason.ADDRESS_OVERFLOW,
          FaultReason.AVAIL_IDX_JUMP,
          FaultReason.HEAD_OUT_OF_RANGE,
          FaultReason.NEXT_OUT_OF_RANGE,
          FaultReason.CHAIN_TOO_LONG,
          FaultReason.WRITABLE_BEFORE_READABLE,
          FaultReason.INDIRECT_LENGTH,
          FaultReason.INDIRECT_WITH_NEXT,
          FaultReason.INDIRECT_IN_INDIRECT,
        }) {
      assertTrue(faults.getOrDefault(reason, 0) > 0, reason + " never came up: " + faults);
    }
    assertTrue(batches > 10 * SEEDS, batches + " batches, " + faults);
  }

  private static TestMemory memory(Random random) {
    return TestMemory.builder()
        .region(0x1000, 0x4000)
        .region(RandomDriver.DATA, RandomDriver.DATA_SIZE)
        .region(RandomDriver.NEIGHBOUR, RandomDriver.NEIGHBOUR_SIZE, random.nextInt(16))
        .region(RandomDriver.FAR, RandomDriver.FAR_SIZE)
        .region(RandomDriver.TOP, RandomDriver.TOP_SIZE)
        .build();
  }

  private static PuppetDevice device() {
    PuppetDevice device = PuppetDevice.echoing();
    byte[] data = new byte[ModelQueue.MOST_ECHOED];
    device.action =
        (queue, chain) -> {
          // All is read before anything is written, because buffers may overlap.
          int most = (int) Math.min(data.length, chain.readableLength());
          int length = (int) Math.min(most, chain.writableLength());
          chain.reader().bytes(data, 0, length);
          chain.writer().bytes(data, 0, length);
          queue.push(chain, length);
        };
    return device;
  }

  private void session(long seed) {
    Random random = new Random(seed);
    List<Session> sessions = Session.split().toList();
    Session session = sessions.get(random.nextInt(sessions.size()));
    PuppetDevice device = device();
    String name = "jvirtio.seed=" + seed + ", batch ";
    try (TestMemory memory = memory(random);
        DeviceBench bench = session.of(device).memory(memory).build()) {
      assertTrue(bench.negotiate());
      QueueLayout empty = RawRing.allocate(memory, 1 << random.nextInt(8));
      int start = random.nextBoolean() ? 0 : random.nextInt(1 << 16);
      QueueLayout layout =
          new QueueLayout(
              empty.size(), empty.descriptorArea(), empty.driverArea(), empty.deviceArea(), start);
      ScriptedDriver driver = bench.startQueue(0, layout);
      driver.ring().availIdx(start);
      driver.ring().usedIdx(start);
      bench.driverOk();
      ModelQueue model = new ModelQueue(memory, layout, driver.order(), true);
      RandomDriver hostile = new RandomDriver(random, memory, driver);
      boolean alive = true;
      for (int i = 0; i < BATCHES && alive; i++) {
        hostile.batch();
        model.refresh(memory);
        alive = compare(bench, model, driver, name + i);
        batches++;
        // Nothing is in flight after a batch, whatever the driver has added or made up.
        driver = freshDriver(memory, driver, model);
        hostile = new RandomDriver(random, memory, driver);
      }
    }
  }

  private static ScriptedDriver freshDriver(
      TestMemory memory, ScriptedDriver old, ModelQueue model) {
    QueueLayout layout = old.layout();
    return new ScriptedDriver(
        memory,
        new QueueLayout(
            layout.size(),
            layout.descriptorArea(),
            layout.driverArea(),
            layout.deviceArea(),
            model.nextAvail),
        old.order(),
        false);
  }

  /** Whether the queue lives on. */
  private boolean compare(DeviceBench bench, ModelQueue model, ScriptedDriver driver, String name) {
    model.used.clear();
    RawRing ring = driver.ring();
    int before = ring.usedIdx();
    FaultReason expected = null;
    try {
      model.run();
    } catch (PeerFault fault) {
      expected = fault.reason();
      faults.merge(expected, 1, Integer::sum);
    }
    bench.run();
    assertEquals(expected, bench.brokenReason(0), name);
    assertEquals(expected == null ? 0 : 1, bench.host().faults(), name);
    for (MemoryRegion region : bench.memory().regions().subList(1, 5)) {
      byte[] actual = bench.memory().read(region.guestAddress(), (int) region.size());
      assertArrayEquals(model.region(region.guestAddress()), actual, name);
    }
    if (expected != null) {
      return false;
    }
    assertEquals(model.used.size(), (ring.usedIdx() - before) & 0xffff, name);
    for (int i = 0; i < model.used.size(); i++) {
      ModelQueue.Used used = model.used.get(i);
      assertEquals(used.head(), ring.usedId(before + i), name);
      assertEquals(used.length(), ring.usedLen(before + i), name);
    }
    return true;
  }
}
