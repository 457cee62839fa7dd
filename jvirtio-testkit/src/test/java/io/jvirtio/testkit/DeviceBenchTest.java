// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.spec.DeviceStatus;
import java.nio.ByteOrder;
import java.util.concurrent.RejectedExecutionException;
import org.junit.jupiter.api.Test;

class DeviceBenchTest {
  private static final byte[] HELLO = "hello".getBytes();

  @Test
  void anEchoComesBackInline() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing()).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().readable(HELLO).writable(9).submit();
      bench.run();
      ScriptedDriver.Used used = driver.poll();
      assertEquals(5, used.length());
      assertArrayEquals(HELLO, used.bytes());
      assertEquals(ChainBuilder.UNWRITTEN, used.chain().writtenBytes()[5] & 0xff);
      assertEquals(1, bench.notifications(0));
      assertNull(driver.poll());
    }
  }

  @Test
  void anEchoComesBackFromAThread() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing()).threaded().start()) {
      bench.driver(0).chain().readable(HELLO).writable(5).submit();
      bench.awaitUsed(0, 1);
      assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
    }
  }

  @Test
  void aLegacyBigEndianDriverIsServed() {
    try (DeviceBench bench =
        DeviceBench.of(PuppetDevice.echoing()).legacy(ByteOrder.BIG_ENDIAN).start()) {
      assertEquals(
          DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.DRIVER_OK,
          bench.host().status());
      bench.driver(0).chain().readable(HELLO).writable(5).submit();
      bench.run();
      assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
    }
  }

  @Test
  void aDriverBelievesNothingThatIsNotInFlight() {
    try (DeviceBench bench = DeviceBench.of(PuppetDevice.echoing()).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.ring().usedIdx(1);
      assertThrows(IllegalStateException.class, driver::poll);
    }
  }

  @Test
  void anOwnerGoesOnWhenATaskThrowsAndSaysSoAtItsEnd() {
    DeviceBench bench = DeviceBench.of(PuppetDevice.echoing()).threaded().start();
    IllegalArgumentException bug = new IllegalArgumentException("a bug, as the test wants it");
    bench
        .owner()
        .execute(
            () -> {
              throw bug;
            });
    bench.driver(0).chain().readable(HELLO).writable(5).submit();
    bench.awaitUsed(0, 1);
    assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
    IllegalStateException end = assertThrows(IllegalStateException.class, bench::close);
    assertEquals(bug, end.getCause());
    assertThrows(RejectedExecutionException.class, () -> bench.owner().execute(() -> {}));
  }
}
