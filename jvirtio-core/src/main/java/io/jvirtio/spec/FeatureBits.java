// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.ArrayList;
import java.util.List;

/**
 * A set of feature bits, 128 wide (virtio 1.4, Basic Facilities of a Virtio Device / Feature Bits).
 *
 * @param low bits 0 to 63
 * @param high bits 64 to 127
 */
public record FeatureBits(long low, long high) {
  /** How many bits there are. */
  public static final int WIDTH = 128;

  /** No bit at all. */
  public static final FeatureBits NONE = new FeatureBits(0, 0);

  /**
   * The set of the given bits.
   *
   * @param bits bit numbers, 0 to 127
   * @throws IllegalArgumentException for a number out of range
   */
  public static FeatureBits of(int... bits) {
    FeatureBits result = NONE;
    for (int bit : bits) {
      result = result.with(bit);
    }
    return result;
  }

  /** Whether the bit is in the set. */
  public boolean has(int bit) {
    check(bit);
    return ((bit < 64 ? low >>> bit : high >>> (bit - 64)) & 1) != 0;
  }

  /** This set and one bit more. */
  public FeatureBits with(int bit) {
    check(bit);
    return bit < 64
        ? new FeatureBits(low | 1L << bit, high)
        : new FeatureBits(low, high | 1L << (bit - 64));
  }

  /** This set and one bit more where {@code condition} holds. */
  public FeatureBits withIf(boolean condition, int bit) {
    return condition ? with(bit) : this;
  }

  /** This set without one bit. */
  public FeatureBits without(int bit) {
    return minus(of(bit));
  }

  /** The bits in both sets. */
  public FeatureBits and(FeatureBits other) {
    return new FeatureBits(low & other.low, high & other.high);
  }

  /** The bits in either set. */
  public FeatureBits or(FeatureBits other) {
    return new FeatureBits(low | other.low, high | other.high);
  }

  /** The bits of this set that are not in the other. */
  public FeatureBits minus(FeatureBits other) {
    return new FeatureBits(low & ~other.low, high & ~other.high);
  }

  /** Whether every bit of this set is in the other. */
  public boolean isSubsetOf(FeatureBits other) {
    return minus(other).isEmpty();
  }

  /** Whether there is no bit. */
  public boolean isEmpty() {
    return (low | high) == 0;
  }

  /** The bit numbers in the set, ascending. */
  public List<Integer> bits() {
    List<Integer> result = new ArrayList<>();
    for (int bit = 0; bit < WIDTH; bit++) {
      if (has(bit)) {
        result.add(bit);
      }
    }
    return result;
  }

  private static void check(int bit) {
    if (bit < 0 || bit >= WIDTH) {
      throw new IllegalArgumentException("feature bit " + bit + " is not in 0.." + (WIDTH - 1));
    }
  }

  @Override
  public String toString() {
    return high == 0 ? String.format("0x%x", low) : String.format("0x%x_%016x", high, low);
  }
}
