// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.spec.FeatureBits;
import java.io.IOException;

/** Feature bits as registers show them: in words of 32. Control thread only. */
final class FeatureWords {
  private static final int MOST = 4;
  private static final int BITS = 32;

  private FeatureWords() {}

  /** What the device offers. */
  static FeatureBits read(DriverRegisters registers) throws IOException {
    long[] words = new long[MOST];
    for (int i = 0; i < Math.min(MOST, registers.featureWords()); i++) {
      words[i] = Integer.toUnsignedLong(registers.deviceFeatures(i));
    }
    // QEMU's virtio-mmio has two words, and shows the second whatever is selected above the first.
    if (words[2] == words[1] && words[3] == words[1]) {
      words[2] = 0;
      words[3] = 0;
    }
    return new FeatureBits(words[0] | words[1] << BITS, words[2] | words[3] << BITS);
  }

  /**
   * Accepts features.
   *
   * @throws IllegalArgumentException for some that the registers cannot carry
   */
  static void write(DriverRegisters registers, FeatureBits accepted) throws IOException {
    int[] words = {
      (int) accepted.low(),
      (int) (accepted.low() >>> BITS),
      (int) accepted.high(),
      (int) (accepted.high() >>> BITS)
    };
    int carried = Math.min(MOST, registers.featureWords());
    for (int i = carried; i < MOST; i++) {
      if (words[i] != 0) {
        throw new IllegalArgumentException(
            registers.name() + " cannot carry the features " + accepted);
      }
    }
    // The first last: QEMU's virtio-mmio takes a word above the second for that one.
    for (int i = carried - 1; i >= 0; i--) {
      registers.writeDriverFeatures(i, words[i]);
    }
  }
}
