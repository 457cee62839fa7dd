// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

/** Fuzz target: the chains of a split queue. The input is described at {@link RingRig}. */
public final class SplitQueueFuzz {
  private static final RingRig RIG = new RingRig(new EchoDevice(), EchoDevice::echoes);

  private SplitQueueFuzz() {}

  /** The entry that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) {
    RIG.run(input);
  }
}
