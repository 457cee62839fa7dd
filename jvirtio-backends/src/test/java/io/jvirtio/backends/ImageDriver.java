// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.backends.RawFileOptions.Engine;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkStats;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.BlkRequests;
import io.jvirtio.testkit.BlkRequests.Segment;
import io.jvirtio.testkit.ChainBuilder;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.ScriptedDriver;
import io.jvirtio.testkit.ScriptedDriver.Used;
import io.jvirtio.testkit.TestChain;
import io.jvirtio.testkit.TestMemory;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.UnaryOperator;

/** A block device over an image, on the bench. Makes one request at a time. */
final class ImageDriver implements AutoCloseable {
  static final int SECTOR = VirtioBlk.SECTOR_SIZE;

  final RawFileBackend backend;
  final DeviceBench bench;

  /** A driver whose requests the test thread itself handles. */
  ImageDriver(RawFileOptions options) throws ImageException {
    this(options, BlkOptions.defaults(), bench -> bench);
  }

  ImageDriver(RawFileOptions options, BlkOptions device) throws ImageException {
    this(options, device, bench -> bench);
  }

  ImageDriver(RawFileOptions options, TestMemory memory) throws ImageException {
    this(options, BlkOptions.defaults(), bench -> bench.memory(memory));
  }

  private ImageDriver(
      RawFileOptions options, BlkOptions device, UnaryOperator<DeviceBench.Builder> setup)
      throws ImageException {
    backend = RawFileBackend.open(options);
    bench = setup.apply(DeviceBench.of(new BlkDevice(backend, device))).start();
  }

  /** A driver of a queue that has a thread of its own. */
  static ImageDriver threaded(RawFileOptions options) throws ImageException {
    return new ImageDriver(options, BlkOptions.defaults(), DeviceBench.Builder::threaded);
  }

  /** A sparse image. */
  static Path sparse(Path folder, long bytes) throws IOException {
    Path path = folder.resolve("disk.img");
    Files.deleteIfExists(path);
    try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
      file.setLength(bytes);
    }
    return path;
  }

  static void truncate(Path path, long bytes) throws IOException {
    try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
      file.setLength(bytes);
    }
  }

  static byte[] bytes(Path path, long position, int length) throws IOException {
    byte[] bytes = new byte[length];
    try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "r")) {
      file.seek(position);
      file.readFully(bytes);
    }
    return bytes;
  }

  /** Bytes that differ from sector to sector and from seed to seed. */
  static byte[] pattern(int bytes, int seed) {
    byte[] data = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      data[i] = (byte) (seed + i / SECTOR * 7 + i);
    }
    return data;
  }

  static RawFileOptions options(Path path, Engine engine, boolean direct) {
    return RawFileOptions.of(path).withEngine(engine).withDirect(direct);
  }

  ScriptedDriver queue() {
    return bench.driver(0);
  }

  BlkStats stats() {
    return ((BlkDevice) bench.host().device()).stats();
  }

  /** Runs one request to its end. */
  TestChain run(ChainBuilder chain) {
    chain.submit();
    bench.awaitUsed(0, 1);
    Used used = queue().poll();
    return used.chain();
  }

  /** The status, where the data cannot be read. */
  int statusByte(TestChain chain) {
    return bench.memory().read(chain.writable().getLast().address(), 1)[0];
  }

  int status(ChainBuilder chain) {
    return BlkRequests.status(run(chain));
  }

  int write(long sector, byte[] data) {
    return status(BlkRequests.out(queue(), sector, data));
  }

  TestChain read(long sector, int bytes) {
    return run(BlkRequests.in(queue(), sector, bytes));
  }

  int flush() {
    return status(BlkRequests.flush(queue()));
  }

  int discard(long sector, int sectors) {
    return status(BlkRequests.discard(queue(), new Segment(sector, sectors, 0)));
  }

  int writeZeroes(long sector, int sectors, boolean unmap) {
    return status(BlkRequests.writeZeroes(queue(), new Segment(sector, sectors, unmap ? 1 : 0)));
  }

  @Override
  public void close() {
    bench.close();
    backend.close();
  }
}
