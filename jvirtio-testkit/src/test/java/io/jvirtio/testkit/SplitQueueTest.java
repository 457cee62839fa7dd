// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Well-formed buffers through the device side of a split queue. */
class SplitQueueTest {
  private static final byte[] HELLO = "hello, device".getBytes();

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 8, 256})
  void indexesWrapAt65536WhateverTheSize(int size) {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing(size)).features(Features.MODERN).start()) {
      ScriptedDriver driver = bench.driver(0);
      long out = bench.memory().allocate(4, 4);
      long in = bench.memory().allocate(4, 4);
      int sent = 0;
      while (sent < 70_000) {
        int batch = Math.min(Math.max(1, size / 2), 1 + sent % 7);
        for (int i = 0; i < batch; i++) {
          if (size == 1) {
            driver.chain().readableAt(out, sent % 5).submit();
          } else {
            driver.chain().readableAt(out, 4).writableAt(in, 1 + sent % 4).add();
          }
          sent++;
        }
        driver.publish();
        bench.run();
        for (int i = batch; i > 0; i--) {
          long expected = size == 1 ? 0 : 1 + (sent - i) % 4;
          assertEquals(expected, driver.poll().length());
        }
        assertEquals(sent & 0xffff, driver.ring().usedIdx());
      }
      assertEquals(0, bench.host().faults());
      assertEquals(size, driver.freeDescriptors());
    }
  }

  @Test
  void theLargestQueueIsFilledToTheBrim() {
    int size = 32768;
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing(size)).start()) {
      ScriptedDriver driver = bench.driver(0);
      long at = bench.memory().allocate(8, 8);
      for (int round = 0; round < 5; round++) {
        for (int i = 0; i < size; i++) {
          driver.chain().writableAt(at, 8).add();
        }
        driver.publish();
        bench.run();
        assertEquals(size, driver.pollAll().size());
      }
      assertEquals(0, bench.host().faults());
    }
  }

  @ParameterizedTest
  @MethodSource("io.jvirtio.testkit.Session#split")
  @Requirement(
      section = "Split Virtqueues / Indirect Descriptors",
      text =
          "The device MUST handle the case of zero or more normal chained descriptors followed by a"
              + " single descriptor with flags&VIRTQ_DESC_F_INDIRECT.")
  void directDescriptorsMayComeBeforeATable(Session session) {
    for (int direct = 0; direct <= 4; direct++) {
      try (DeviceBench bench = session.of(PuppetDevice.echoing(8)).start()) {
        ScriptedDriver driver = bench.driver(0);
        ChainBuilder chain = driver.chain();
        // readable, readable, writable, writable, with the table beginning at any of them
        for (int i = 0; i < 4; i++) {
          if (i == direct) {
            chain.indirect();
          }
          if (i < 2) {
            chain.readable((byte) (i + 1), (byte) (i + 11));
          } else {
            chain.writable(2);
          }
        }
        if (direct == 4) {
          chain.indirect().writable(1);
        }
        chain.submit();
        bench.run();
        assertArrayEquals(new byte[] {1, 11, 2, 12}, driver.poll().bytes());
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  @Requirement(
      section = "Split Virtqueues / Indirect Descriptors",
      text =
          "The device MUST ignore the write-only flag (flags&VIRTQ_DESC_F_WRITE) in the descriptor"
              + " that refers to an indirect table.")
  void theWriteFlagOfATableIsIgnored(Session session) {
    try (DeviceBench bench = session.of(PuppetDevice.echoing(8)).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver
          .chain()
          .tableFlags(VIRTQ_DESC_F_WRITE)
          .indirect()
          .readable(HELLO)
          .writable(HELLO.length)
          .submit();
      bench.run();
      assertArrayEquals(HELLO, driver.poll().bytes());
      if (!session.isPacked()) { // where a table stands alone
        driver.chain().writable(1).indirect().writable(1).submit();
        bench.run();
        assertEquals(0, driver.poll().length());
      }
      assertNull(bench.brokenReason(0));
    }
  }

  @Test
  void anIndirectChainMayBeLongerThanASmallQueue() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing(4)).start()) {
      ScriptedDriver driver = bench.driver(0);
      ChainBuilder chain = driver.chain().indirect();
      for (int i = 0; i < 512; i++) {
        chain.readable((byte) i);
      }
      for (int i = 0; i < 512; i++) {
        chain.writable(1);
      }
      chain.submit();
      bench.run();
      ScriptedDriver.Used used = driver.poll();
      assertEquals(512, used.length());
      assertArrayEquals(used.chain().readableBytes(), used.bytes());
    }
  }

  @ParameterizedTest
  @EnumSource
  void descriptorsWithoutBytesMayStandAnywhereInTheirPart(Session session) {
    try (DeviceBench bench = session.of(PuppetDevice.echoing(16)).start()) {
      ScriptedDriver driver = bench.driver(0);
      // Their addresses mean nothing.
      driver
          .chain()
          .readableAt(-1, 0)
          .readable(HELLO)
          .readableAt(0, 0)
          .writableAt(-5, 0)
          .writable(HELLO.length)
          .writableAt(7, 0)
          .submit();
      driver.chain().readableAt(0, 0).submit();
      driver.chain().writableAt(0, 0).submit();
      bench.run();
      assertArrayEquals(HELLO, driver.poll().bytes());
      assertEquals(0, driver.poll().length());
      assertEquals(0, driver.poll().length());
      assertNull(bench.brokenReason(0));
    }
  }

  @Test
  void buffersAndTablesMayCrossTheEdgesOfRegions() {
    List<Integer> segments = new ArrayList<>();
    PuppetDevice device = PuppetDevice.echoing(16);
    device.action =
        (queue, chain) -> {
          segments.add(chain.segmentCount());
          PuppetDevice.echo(queue, chain);
        };
    TestMemory.Builder pieces = TestMemory.builder().region(0x1_0000, 0x1_0000);
    for (int i = 0; i < 6; i++) {
      pieces.region(0x2_0000 + 5 * i, 5);
    }
    byte[] data = "0123456789abcdefghij".getBytes();
    try (TestMemory memory = pieces.build();
        DeviceBench bench = DeviceBench.of(device).memory(memory).start()) {
      ScriptedDriver driver = bench.driver(0);
      long over = 0x2_0000 - 3;
      memory.write(over, data);
      driver.chain().readableAt(over, 20).writable(20).submit();
      bench.run();
      assertArrayEquals(data, driver.poll().bytes());
      // 3 bytes before the edge, three regions of 5, and 2 of the fourth; and the writable one.
      assertEquals(6, segments.getLast());

      driver.chain().readable(data).writableAt(over, 20).submit();
      bench.run();
      driver.poll();
      assertArrayEquals(data, memory.read(over, 20));

      driver.chain().indirectAt(0x2_0000 - 9).readable(HELLO).writable(20).submit();
      bench.run();
      assertArrayEquals(HELLO, driver.poll().bytes());
      assertNull(bench.brokenReason(0));
    }
  }

  @Test
  void aTableNeedsNoAlignment() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing(16)).start()) {
      for (int off = 0; off < 16; off++) {
        ScriptedDriver driver = bench.driver(0);
        long table = bench.memory().allocate(48, 16) + off;
        driver.chain().indirectAt(table).readable(HELLO).writable(HELLO.length).submit();
        bench.run();
        assertArrayEquals(HELLO, driver.poll().bytes());
      }
    }
  }

  @Test
  void buffersMayBeUsedInAnyOrder() {
    PuppetDevice device = PuppetDevice.holding(16);
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      List<TestChain> sent = new ArrayList<>();
      for (int i = 0; i < 5; i++) {
        sent.add(driver.chain().readable((byte) i).writable(1).submit());
      }
      bench.run();
      assertEquals(5, device.held.size());
      assertEquals(5, device.started.getFirst().inFlight());
      Collections.swap(device.held, 0, 3);
      Collections.swap(device.held, 1, 4);
      List<Integer> order = device.held.stream().map(DescriptorChain::head).toList();
      device.releaseWhenPolled = true;
      bench.run();
      List<ScriptedDriver.Used> used = driver.pollAll();
      assertEquals(order, used.stream().map(u -> u.chain().head()).toList());
      assertEquals(3, used.getFirst().bytes()[0]);
      assertEquals(sent.get(0).head(), used.get(3).chain().head());
    }
  }

  @Test
  @Requirement(
      section = "Split Virtqueues / The Virtqueue Descriptor Table",
      text = "A device MUST NOT write to a device-readable buffer")
  @Requirement(
      section = "Split Virtqueues / The Virtqueue Descriptor Table",
      text = "A device MUST NOT write to any descriptor table entry.")
  void nothingIsWrittenButWritableBuffersAndTheUsedRing() {
    PuppetDevice device = PuppetDevice.echoing(16);
    device.action =
        (queue, chain) -> {
          assertTrue(chain.segment(0).isReadOnly());
          PuppetDevice.echo(queue, chain);
        };
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      TestChain direct = driver.chain().readable(HELLO).writable(4).writable(40).submit();
      TestChain table = driver.chain().indirect().readable(HELLO).writable(40).submit();
      byte[] descriptors = driver.ring().descriptorTable().toArray(ValueLayout.JAVA_BYTE);
      byte[] available = driver.ring().availableRing().toArray(ValueLayout.JAVA_BYTE);
      bench.run();
      assertArrayEquals(
          descriptors, driver.ring().descriptorTable().toArray(ValueLayout.JAVA_BYTE));
      assertArrayEquals(available, driver.ring().availableRing().toArray(ValueLayout.JAVA_BYTE));
      assertArrayEquals(HELLO, direct.readableBytes());
      assertArrayEquals(HELLO, table.readableBytes());
      byte[] rest = direct.writtenBytes();
      for (int i = HELLO.length; i < rest.length; i++) {
        assertEquals(ChainBuilder.UNWRITTEN, rest[i] & 0xff);
      }
    }
  }

  @Test
  @Requirement(
      section = "Split Virtqueues / The Virtqueue Used Ring",
      text = "The device MUST set len prior to updating the used idx.")
  @Requirement(
      section = "Split Virtqueues / The Virtqueue Used Ring",
      text =
          "The device MUST write at least len bytes to descriptor, beginning at the first"
              + " device-writable buffer, prior to updating the used idx.")
  void aDriverOnAnotherProcessorSeesLenAndBytesWithTheIdx() {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing(4)).threaded().queueSize(4).start()) {
      ScriptedDriver driver = bench.driver(0);
      long out = bench.memory().allocate(64, 64);
      long in = bench.memory().allocate(64, 64);
      for (int i = 1; i <= 20_000; i++) {
        int length = 1 + i % 64;
        bench.memory().fill(out, length, i);
        driver.chain().readableAt(out, length).writableAt(in, 64).submit();
        bench.awaitUsed(0, 1);
        ScriptedDriver.Used used = driver.poll();
        assertEquals(length, used.length());
        assertEquals((byte) i, used.bytes()[length - 1]);
        assertEquals((byte) i, used.bytes()[0]);
      }
    }
  }

  @Test
  void aBufferThatTheDeviceIsBusyWithCanBeFollowedByOthers() {
    PuppetDevice device = PuppetDevice.echoing(8);
    device.action =
        (queue, chain) -> {
          if (chain.writableLength() == 0) {
            device.held.add(chain);
          } else {
            PuppetDevice.echo(queue, chain);
          }
        };
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      TestChain slow = driver.chain().readable(HELLO).submit();
      for (int i = 0; i < 100; i++) {
        driver.chain().readable(HELLO).writable(4).submit();
        bench.run();
        assertEquals(4, driver.poll().length());
      }
      assertNull(driver.poll());
      DeviceQueue queue = device.started.getFirst();
      assertEquals(1, queue.inFlight());
      device.releaseWhenPolled = true;
      bench.run();
      assertEquals(slow, driver.poll().chain());
      assertEquals(0, queue.inFlight());
    }
  }
}
