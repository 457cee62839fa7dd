// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.lang.reflect.Proxy;
import org.junit.jupiter.api.Test;

/** Features at registers of two words that take every selector above the first for the second. */
class FeatureWordsTest {
  private final int[] offered = {0x3000_0054, 0x101};
  private final int[] accepted = new int[2];

  /** As QEMU's virtio-mmio has them. */
  private DriverRegisters registers() {
    return (DriverRegisters)
        Proxy.newProxyInstance(
            getClass().getClassLoader(),
            new Class<?>[] {DriverRegisters.class},
            (proxy, method, arguments) ->
                switch (method.getName()) {
                  case "featureWords" -> 4;
                  case "deviceFeatures" -> offered[Math.min(1, (int) arguments[0])];
                  case "writeDriverFeatures" -> {
                    accepted[Math.min(1, (int) arguments[0])] = (int) arguments[1];
                    yield null;
                  }
                  default -> throw new AssertionError(method);
                });
  }

  @Test
  void theSecondWordIsNoThird() throws IOException {
    assertEquals(new FeatureBits(0x101_3000_0054L, 0), FeatureWords.read(registers()));
  }

  @Test
  void theSecondWordIsNotOverwritten() throws IOException {
    FeatureWords.write(registers(), new FeatureBits(0x101_3000_0054L, 0));
    assertArrayEquals(offered, accepted);
  }
}
