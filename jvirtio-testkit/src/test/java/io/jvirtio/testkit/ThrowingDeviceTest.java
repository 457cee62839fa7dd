// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.DeviceStatus;
import org.junit.jupiter.api.Test;

/** What a device throws breaks that device, loses at most one buffer, and a reset heals it. */
class ThrowingDeviceTest {
  private static final byte[] HELLO = "hello".getBytes();
  private static final byte HOLD = 1;
  private static final byte THROW = 2;

  /** Keeps, throws or echoes, as the first byte of a buffer says. */
  private static PuppetDevice device(PuppetDevice.Action mistake) {
    PuppetDevice device = PuppetDevice.echoing(8);
    device.action =
        (queue, chain) -> {
          int what = chain.reader().u8();
          chain.reader().rewind();
          if (what == HOLD) {
            device.held.add(chain);
          } else if (what == THROW) {
            mistake.take(queue, chain);
          } else {
            PuppetDevice.echo(queue, chain);
          }
        };
    return device;
  }

  private static void breaks(FaultReason reason, PuppetDevice.Action mistake) {
    PuppetDevice device = device(mistake);
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      for (int round = 1; round <= 3; round++) {
        ScriptedDriver driver = bench.driver(0);
        driver.chain().readable(HOLD).writable(1).submit();
        driver.chain().readable(THROW).writable(1).submit();
        driver.chain().readable(HELLO).writable(5).submit();
        bench.run();
        assertEquals(reason, bench.brokenReason(0));
        assertEquals(round, bench.host().faults());
        assertEquals(round, bench.configurationChanges());
        assertTrue((bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);
        // Nothing waits for the buffer that the device has thrown away, only for the other.
        DeviceQueue queue = device.started.getLast();
        assertEquals(1, queue.inFlight());
        assertFalse(queue.isOpen());
        device.releaseWhenPolled = true;
        bench.reset();
        device.releaseWhenPolled = false;
        assertEquals(0, queue.inFlight());
        bench.start();
        bench.driver(0).chain().readable(HELLO).writable(5).submit();
        bench.run();
        assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
        bench.restart();
      }
    }
  }

  @Test
  void aFaultOfTheDriverThatTheDeviceFinds() {
    breaks(FaultReason.BUFFER_TOO_SHORT, (queue, chain) -> chain.reader().le64());
  }

  @Test
  void aBugOfTheDevice() {
    breaks(
        FaultReason.DEVICE_ERROR,
        (queue, chain) -> {
          throw new IllegalStateException("a bug, as the test wants it");
        });
  }

  @Test
  void anErrorOfTheDevice() {
    breaks(
        FaultReason.DEVICE_ERROR,
        (queue, chain) -> {
          throw new AssertionError("an error, as the test wants it");
        });
  }

  @Test
  void aLengthThatTheBufferDoesNotHold() {
    breaks(FaultReason.DEVICE_ERROR, (queue, chain) -> queue.push(chain, 2));
    breaks(FaultReason.DEVICE_ERROR, (queue, chain) -> queue.push(chain, -1));
  }

  @Test
  void aBufferPushedTwice() {
    breaks(
        FaultReason.DEVICE_ERROR,
        (queue, chain) -> {
          queue.push(chain, 1);
          queue.push(chain, 1);
        });
  }

  @Test
  void aBufferThatWasGivenUpMayStillBePushed() {
    PuppetDevice device =
        device(
            (queue, chain) -> {
              throw new PeerFault(FaultReason.REQUEST_MALFORMED, 1);
            });
    DescriptorChain[] lost = new DescriptorChain[1];
    PuppetDevice.Action inner = device.action;
    device.action =
        (queue, chain) -> {
          lost[0] = chain;
          inner.take(queue, chain);
        };
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(THROW).writable(1).submit();
      bench.run();
      DeviceQueue queue = device.started.getFirst();
      assertEquals(0, queue.inFlight());
      queue.push(lost[0], 1);
      assertEquals(0, queue.inFlight());
      assertNull(driver.poll());
    }
  }

  @Test
  void aLengthThatIsWrongCanBeCorrected() {
    PuppetDevice device =
        device(
            (queue, chain) -> {
              assertThrows(IllegalArgumentException.class, () -> queue.push(chain, 2));
              queue.push(chain, 1);
            });
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      bench.driver(0).chain().readable(THROW).writable(1).submit();
      bench.run();
      assertEquals(1, bench.driver(0).poll().length());
      assertNull(bench.brokenReason(0));
    }
  }

  @Test
  void aDeviceThatCannotStartAQueueBreaksIt() {
    PuppetDevice device = PuppetDevice.echoing(8);
    device.failStart = true;
    try (DeviceBench bench = DeviceBench.of(device).start()) {
      assertEquals(FaultReason.DEVICE_ERROR, bench.brokenReason(0));
      assertEquals(1, bench.configurationChanges());
      device.failStart = false;
      bench.restart();
      bench.driver(0).chain().readable(HELLO).writable(5).submit();
      bench.run();
      assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
    }
  }
}
