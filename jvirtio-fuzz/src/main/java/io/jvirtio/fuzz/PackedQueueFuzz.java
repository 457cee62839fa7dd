// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

/** Fuzz target: the lists of a packed queue. The input is described at {@link RingRig}. */
public final class PackedQueueFuzz {
  private static final RingRig RIG = RingRig.packed(new EchoDevice(), EchoDevice::echoes);

  private PackedQueueFuzz() {}

  /** The entry that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) {
    RIG.run(input);
  }
}
