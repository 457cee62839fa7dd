// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class FeatureBitsTest {
  @Test
  void eachOf128BitsStandsAlone() {
    for (int bit = 0; bit < 128; bit++) {
      FeatureBits one = FeatureBits.of(bit);
      assertEquals(List.of(bit), one.bits());
      for (int other = 0; other < 128; other++) {
        assertEquals(bit == other, one.has(other));
      }
      assertTrue(one.without(bit).isEmpty());
      assertEquals(one, FeatureBits.NONE.with(bit));
      assertEquals(one, FeatureBits.NONE.withIf(true, bit));
      assertEquals(FeatureBits.NONE, FeatureBits.NONE.withIf(false, bit));
      assertEquals(BigInteger.ONE.shiftLeft(bit), number(one));
    }
  }

  @Test
  void bitsOutOfRangeAreRefused() {
    for (int bit : new int[] {-1, 128, 255, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
      assertThrows(IllegalArgumentException.class, () -> FeatureBits.of(bit));
      assertThrows(IllegalArgumentException.class, () -> FeatureBits.NONE.has(bit));
      assertThrows(IllegalArgumentException.class, () -> FeatureBits.NONE.with(bit));
      assertThrows(IllegalArgumentException.class, () -> FeatureBits.NONE.without(bit));
    }
  }

  private static BigInteger number(FeatureBits bits) {
    return new BigInteger(Long.toUnsignedString(bits.high()))
        .shiftLeft(64)
        .or(new BigInteger(Long.toUnsignedString(bits.low())));
  }

  @Test
  void setOperationsAreThoseOfNumbers() {
    Random random = new Random(1);
    for (int i = 0; i < 1000; i++) {
      FeatureBits a = new FeatureBits(random.nextLong(), random.nextLong());
      FeatureBits b = new FeatureBits(random.nextLong(), random.nextLong());
      assertEquals(number(a).and(number(b)), number(a.and(b)));
      assertEquals(number(a).or(number(b)), number(a.or(b)));
      assertEquals(number(a).andNot(number(b)), number(a.minus(b)));
      assertTrue(a.and(b).isSubsetOf(a));
      assertTrue(a.isSubsetOf(a.or(b)));
      assertEquals(number(a).bitCount(), a.bits().size());
      assertEquals(a.minus(b).isEmpty(), a.isSubsetOf(b));
    }
    assertFalse(FeatureBits.of(70).isSubsetOf(FeatureBits.of(6)));
  }

  @Test
  void textIsHexadecimal() {
    assertEquals("0x0", FeatureBits.NONE.toString());
    assertEquals("0x8000000000000001", FeatureBits.of(0, 63).toString());
    assertEquals("0x1_0000000000000002", FeatureBits.of(1, 64).toString());
  }

  @Test
  void featuresHaveTheirNames() {
    FeatureBits features = FeatureBits.of(9, 28, 29, 32, 63);
    assertEquals(
        List.of(
            "VIRTIO_BLK_F_FLUSH",
            "VIRTIO_F_INDIRECT_DESC",
            "VIRTIO_F_EVENT_IDX",
            "VIRTIO_F_VERSION_1",
            "bit 63"),
        FeatureNames.of(DeviceType.BLOCK.id(), features));
    assertEquals("bit 9", FeatureNames.of(DeviceType.ENTROPY.id(), 9));
  }
}
