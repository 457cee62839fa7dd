// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.BlkRequests;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.TestChain;

/** Fuzz target: requests to a block device. The input is described at {@link RingRig}. */
public final class BlkRequestFuzz {
  private static final RingRig RIG =
      new RingRig(
          new BlkDevice(new MemoryBackend(1 << 20), BlkOptions.defaults()), BlkRequestFuzz::reads);

  private BlkRequestFuzz() {}

  /** The entry that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) {
    RIG.run(input);
  }

  private static void reads(DeviceBench bench) {
    TestChain read = BlkRequests.in(bench.driver(0), 3, 512).submit();
    bench.run();
    if (bench.driver(0).poll().length() != 513
        || BlkRequests.status(read) != VirtioBlk.VIRTIO_BLK_S_OK) {
      throw new AssertionError("no read after a reset");
    }
  }
}
