// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.drivers.Way;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.UnaryOperator;

/** Our driver on our device, in memory, on the thread of the test. */
final class InlineDisk implements AutoCloseable {
  static final long CAPACITY = 64 << 20;

  final InlineOwner owner = new InlineOwner();
  final MemoryBackend data = new MemoryBackend(CAPACITY);
  final BlkDevice device;
  final BlkDriver driver;

  /** All defaults. */
  InlineDisk(Way way) throws IOException {
    this(way, device -> device);
  }

  /** A device with these options. */
  InlineDisk(Way way, UnaryOperator<BlkOptions.Builder> options) throws IOException {
    this(way, options, driver -> driver);
  }

  InlineDisk(
      Way way,
      UnaryOperator<BlkOptions.Builder> options,
      UnaryOperator<BlkDriverOptions.Builder> how)
      throws IOException {
    this(options, how, way::plug);
  }

  /** On a transport of the test's own. */
  interface Plug {
    DriverTransport plug(BlkDevice device, InlineOwner owner) throws IOException;
  }

  InlineDisk(
      UnaryOperator<BlkOptions.Builder> options,
      UnaryOperator<BlkDriverOptions.Builder> how,
      Plug plug)
      throws IOException {
    device = new BlkDevice(data, options.apply(BlkOptions.builder()).build());
    DriverDevice found =
        new DriverDevice(plug.plug(device, owner), DriverDevice.ringFeatures(), Runnable::run);
    driver =
        (BlkDriver)
            found.start(new BlkDriverType(how.apply(BlkDriverOptions.builder(owner)).build()));
  }

  void run() {
    owner.runUntilIdle();
  }

  /** Bytes that differ from sector to sector and from seed to seed. */
  static byte[] pattern(int bytes, int seed) {
    byte[] data = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      data[i] = (byte) (seed + i / 512 * 7 + i);
    }
    return data;
  }

  static MemorySegment heap(byte[] bytes) {
    return MemorySegment.ofArray(bytes);
  }

  static byte[] bytes(MemorySegment segment) {
    return segment.toArray(ValueLayout.JAVA_BYTE);
  }

  @Override
  public void close() {
    driver.close();
  }
}
