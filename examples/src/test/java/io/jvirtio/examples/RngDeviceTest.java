// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.testkit.ChainBuilder;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.ScriptedDriver;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RngDeviceTest {
  @Test
  void buffersComeBackFullOfRandomBytes() {
    try (DeviceBench bench = DeviceBench.of(new RngDevice()).start()) {
      ScriptedDriver driver = bench.driver(0);
      Set<String> seen = new HashSet<>();
      for (int i = 0; i < 100; i++) {
        driver.chain().writable(32).submit();
        bench.run();
        ScriptedDriver.Used used = driver.poll();
        assertEquals(32, used.length());
        assertTrue(seen.add(HexFormat.of().formatHex(used.bytes())));
      }
    }
  }

  @Test
  void aBufferMayBeScatteredAndLargerThanTheDeviceFills() {
    try (DeviceBench bench = DeviceBench.of(new RngDevice()).start()) {
      ScriptedDriver driver = bench.driver(0);
      driver.chain().writable(1000).splitWritable(1, 7, 300).submit();
      driver.chain().writable(3).submit();
      bench.run();
      ScriptedDriver.Used used = driver.poll();
      assertEquals(256, used.length());
      byte[] all = used.chain().writtenBytes();
      for (int i = 256; i < all.length; i++) {
        assertEquals(ChainBuilder.UNWRITTEN, all[i] & 0xff);
      }
      assertEquals(3, driver.poll().length());
    }
  }

  @Test
  void aBufferWithNothingToWriteComesBackEmpty() {
    try (DeviceBench bench = DeviceBench.of(new RngDevice()).start()) {
      bench.driver(0).chain().readable(new byte[16]).submit();
      bench.run();
      assertEquals(0, bench.driver(0).poll().length());
      assertEquals(0, bench.host().faults());
    }
  }
}
