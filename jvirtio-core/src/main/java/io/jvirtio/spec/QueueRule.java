// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Arrays;
import java.util.List;

/**
 * How many queues a device type has (the section Virtqueues of each type).
 *
 * @param base queues that always exist
 * @param open whether the number of the rest is the device's choice
 * @param optional feature bits, each of which adds one queue; a bit stands twice where it adds two
 */
record QueueRule(int base, boolean open, List<Integer> optional) {
  static QueueRule exactly(int base, int... optional) {
    return new QueueRule(base, false, list(optional));
  }

  static QueueRule atLeast(int base, int... optional) {
    return new QueueRule(base, true, list(optional));
  }

  private static List<Integer> list(int... bits) {
    return Arrays.stream(bits).boxed().toList();
  }

  int least(FeatureBits offered) {
    return base + (int) optional.stream().filter(offered::has).count();
  }
}
