// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DESC;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_DISABLE;
import static io.jvirtio.spec.PackedRing.RING_EVENT_FLAGS_ENABLE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Well-formed buffers through the device side of a packed queue, and its notifications. */
class PackedQueueTest {
  private static final byte[] HELLO = "hello, device".getBytes();
  private static final String SESSIONS = "io.jvirtio.testkit.Session#packed";

  @ParameterizedTest
  @MethodSource(SESSIONS)
  @Requirement(
      section = "Packed Virtqueues",
      text =
          "The device MUST start processing driver descriptors in the order in which they appear in"
              + " the ring.")
  @Requirement(
      section = "Packed Virtqueues",
      text =
          "The device MUST start writing device descriptors into the ring in the order in which"
              + " they complete.")
  void buffersAreTakenAsTheyStandAndUsedAsTheyComplete(Session session) {
    Random random = new Random(3);
    PuppetDevice device = PuppetDevice.holding(16);
    try (DeviceBench bench = session.of(device).queueSize(13).start()) {
      ScriptedDriver driver = bench.driver(0);
      long[] mark = bench.memory().mark();
      for (int round = 0; round < 1000; round++) {
        List<Integer> ids = new ArrayList<>();
        while (driver.freeDescriptors() >= 3) {
          ChainBuilder chain = driver.chain().readable((byte) round);
          for (int i = random.nextInt(3); i > 0; i--) {
            chain.writable(4);
          }
          ids.add(chain.add().head());
        }
        driver.publish();
        bench.run();
        assertEquals(ids, device.held.stream().map(DescriptorChain::head).toList());
        List<DescriptorChain> held = new ArrayList<>(device.held);
        device.held.clear();
        Collections.shuffle(held, random);
        List<Integer> order = held.stream().map(DescriptorChain::head).toList();
        for (DescriptorChain chain : held) {
          device.started.getLast().push(chain, chain.writableLength());
          if (random.nextBoolean()) {
            bench.run();
          }
        }
        bench.run();
        assertEquals(order, driver.pollAll().stream().map(used -> used.chain().head()).toList());
        bench.memory().release(mark);
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @ParameterizedTest
  @MethodSource(SESSIONS)
  @Requirement(
      section = "Packed Virtqueues / Scatter-Gather Support",
      text =
          "The device MUST use descriptors in a list chained by the VIRTQ_DESC_F_NEXT flag in the"
              + " same order that they were made available by the driver.")
  void aListIsReadAndWrittenInItsOrder(Session session) {
    try (DeviceBench bench = session.of(PuppetDevice.echoing(32)).queueSize(27).start()) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < 200; i++) {
        int cut = i % HELLO.length;
        driver
            .chain()
            .readable(HELLO)
            .splitReadable(cut, cut, Math.min(HELLO.length, cut + 2))
            .writable(HELLO.length)
            .splitWritable(HELLO.length - cut)
            .submit();
        bench.run();
        assertArrayEquals(HELLO, driver.poll().bytes());
      }
    }
  }

  @Test
  void aBatchIsPublishedAndNotifiedOnce() {
    PuppetDevice device = PuppetDevice.echoing(8);
    try (DeviceBench bench =
        DeviceBench.of(device).features(Features.MODERN).packed().queueSize(7).start()) {
      ScriptedDriver driver = bench.driver(0);
      List<Integer> pending = new ArrayList<>();
      device.action =
          (queue, chain) -> {
            PuppetDevice.echo(queue, chain);
            pending.add(driver.pending());
          };
      for (int round = 0; round < 20; round++) {
        pending.clear();
        for (int i = 0; i < 5; i++) {
          driver.chain().readableAt(64, 1).add();
        }
        driver.publish();
        bench.run();
        assertEquals(List.of(0, 0, 0, 0, 0), pending);
        assertEquals(5, driver.pending());
        assertEquals(5, driver.pollAll().size());
        assertEquals(round + 1, bench.notifications(0));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 7, 8})
  void theEventDecidesWithinABatch(int size) {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing(8))
            .features(Features.EVENT_IDX)
            .packed()
            .queueSize(size)
            .start()) {
      ScriptedDriver driver = bench.driver(0);
      int at = 0;
      for (int round = 0; round < 500; round++) {
        int batch = 1 + round % size;
        int ahead = round / size % size;
        int event = at + ahead;
        driver
            .packedRing()
            .driverEvent(
                PackedRawRing.event(event % size, event / size % 2 == 0, RING_EVENT_FLAGS_DESC));
        for (int i = 0; i < batch; i++) {
          driver.chain().readableAt(64, 1).add();
        }
        driver.publish();
        int before = bench.notifications(0);
        bench.run();
        assertEquals(batch, driver.pollAll().size());
        assertEquals(ahead < batch ? 1 : 0, bench.notifications(0) - before);
        at += batch;
      }
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theDeviceAsksForNotificationsWhileItSleeps(boolean eventIdx) {
    PuppetDevice device = PuppetDevice.echoing(8);
    FeatureBits features = eventIdx ? Features.EVENT_IDX : Features.MODERN;
    try (DeviceBench bench =
        DeviceBench.of(device).features(features).packed().queueSize(7).start()) {
      ScriptedDriver driver = bench.driver(0);
      PackedRawRing ring = driver.packedRing();
      List<Integer> busy = new ArrayList<>();
      device.action =
          (queue, chain) -> {
            busy.add(ring.deviceEvent() >>> 16);
            PuppetDevice.echo(queue, chain);
          };
      bench.run();
      int asks = eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
      for (int sent = 0; sent < 1000; sent += 3) {
        boolean wrap = sent / 7 % 2 == 0;
        assertEquals(PackedRawRing.event(sent % 7, wrap, asks), ring.deviceEvent());
        driver.chain().readableAt(64, 1).add();
        assertTrue(driver.publish());
        // With event index it is awake from here on, as far as the driver knows.
        driver.chain().readableAt(64, 1).add();
        driver.chain().readableAt(64, 1).add();
        assertEquals(!eventIdx, driver.publish());
        bench.run();
        assertEquals(3, driver.pollAll().size());
      }
      assertFalse(busy.isEmpty());
      assertEquals(Collections.nCopies(busy.size(), RING_EVENT_FLAGS_DISABLE), busy);
    }
  }

  @Test
  void aDriverOnAnotherProcessorSeesLenAndBytesWithTheFlags() {
    PuppetDevice device = PuppetDevice.echoing(64);
    try (DeviceBench bench = DeviceBench.of(device).packed().queueSize(61).threaded().start()) {
      ScriptedDriver driver = bench.driver(0);
      long out = bench.memory().allocate(8, 8);
      long in = bench.memory().allocate(8, 8);
      for (long i = 1; i < 20_000; i++) {
        bench.memory().slice(out, 8).set(ValueLayout.JAVA_LONG, 0, i);
        driver.chain().readableAt(out, 8).writableAt(in, 8).submit();
        bench.awaitUsed(0, 1);
        assertEquals(8, driver.poll().length());
        assertEquals(i, bench.memory().slice(in, 8).get(ValueLayout.JAVA_LONG, 0));
      }
    }
  }

  @Test
  void aUsedDescriptorSaysWhetherSomethingWasWritten() {
    PuppetDevice device = PuppetDevice.echoing(8);
    device.action = (queue, chain) -> queue.push(chain, chain.head());
    try (DeviceBench bench = DeviceBench.of(device).packed().queueSize(7).start()) {
      ScriptedDriver driver = bench.driver(0);
      for (int i = 0; i < 20; i++) {
        driver.chain().writable(8).id(i % 3).submit();
        bench.run();
        int flags = driver.packedRing().flags(i % 7);
        assertEquals(i % 3 != 0, (flags & PackedRing.VIRTQ_DESC_F_WRITE) != 0);
        assertEquals(0, flags & PackedRing.VIRTQ_DESC_F_NEXT);
        assertEquals(i % 3, driver.poll().length());
        assertNull(driver.poll());
      }
    }
  }
}
