// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.BlkRequests;
import io.jvirtio.testkit.BlkRequests.Segment;
import io.jvirtio.testkit.ChainBuilder;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.ScriptedDriver;
import io.jvirtio.testkit.ScriptedDriver.Used;
import java.util.Arrays;
import java.util.List;

/** A driver of a block device that makes one request at a time, on the bench. */
final class BlkDriver implements AutoCloseable {
  static final int SECTOR = VirtioBlk.SECTOR_SIZE;

  final DeviceBench bench;

  BlkDriver(DeviceBench bench) {
    this.bench = bench;
  }

  /** A driver that has accepted everything and runs. */
  static BlkDriver of(BlockBackend backend, BlkOptions options) {
    return new BlkDriver(DeviceBench.of(new BlkDevice(backend, options)).start());
  }

  /** A driver that has accepted everything but these features and runs. */
  static BlkDriver without(BlkDevice device, int... features) {
    BlkDriver driver = new BlkDriver(DeviceBench.of(device).build());
    driver.restartWithout(features);
    return driver;
  }

  /** Resets the device and starts it anew. */
  void restartWithout(int... features) {
    bench.reset();
    bench.negotiate(bench.host().deviceFeatures().minus(FeatureBits.of(features)));
    for (int i = 0; i < bench.host().queueCount(); i++) {
      bench.startQueue(i);
    }
    bench.driverOk();
  }

  BlkDevice device() {
    return (BlkDevice) bench.host().device();
  }

  ScriptedDriver queue() {
    return bench.driver(0);
  }

  ChainBuilder chain() {
    return queue().chain();
  }

  FaultReason fault() {
    return bench.brokenReason(0);
  }

  byte[] header(int type, long sector) {
    return BlkRequests.header(type, sector, queue().order());
  }

  /** Runs what was submitted until the device is idle; the one used buffer. */
  Used run() {
    bench.run();
    List<Used> used = queue().pollAll();
    if (used.size() != 1) {
      throw new AssertionError(used.size() + " buffers used, fault " + fault());
    }
    return used.get(0);
  }

  static int status(Used used) {
    return BlkRequests.status(used.chain());
  }

  static byte[] data(Used used) {
    return BlkRequests.data(used.chain());
  }

  /** The status of one request. */
  int run(ChainBuilder chain) {
    chain.submit();
    return status(run());
  }

  int write(long sector, byte[] data) {
    return run(BlkRequests.out(queue(), sector, data));
  }

  Used read(long sector, int bytes) {
    BlkRequests.in(queue(), sector, bytes).submit();
    return run();
  }

  int flush() {
    return run(BlkRequests.flush(queue()));
  }

  /** A discard, write zeroes or secure erase with these ranges. */
  int ranges(int type, Segment... ranges) {
    return run(
        BlkRequests.request(queue(), type, 0, BlkRequests.segments(queue().order(), ranges), 0));
  }

  static Segment range(long sector, long sectors, int flags) {
    return new Segment(sector, sectors, flags);
  }

  /** Bytes that differ from sector to sector and from seed to seed. */
  static byte[] pattern(int bytes, int seed) {
    byte[] data = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      data[i] = (byte) (seed + i / SECTOR * 7 + i);
    }
    return data;
  }

  static byte[] first(byte[] data, int bytes) {
    return Arrays.copyOf(data, bytes);
  }

  @Override
  public void close() {
    bench.close();
  }
}
