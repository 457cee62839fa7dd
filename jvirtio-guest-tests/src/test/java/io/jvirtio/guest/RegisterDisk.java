// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverTransport;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.drivers.rng.RngDriver;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What the tests of register transports do to a disk and to a source of entropy. */
final class RegisterDisk {
  static final int SIZE = 4 << 20;

  private static final int MIB = 1 << 20;

  private RegisterDisk() {}

  /** A test with a loop that must not see anything thrown. */
  private interface Body {
    void run(EventLoop loop) throws Exception;
  }

  private static void onLoop(Body body) throws Exception {
    Queue<Throwable> faults = new ConcurrentLinkedQueue<>();
    try (EventLoop loop =
        EventLoop.start("driver", LoopMode.EVENT, (source, fault) -> faults.add(fault))) {
      body.run(loop);
    }
    if (!faults.isEmpty()) {
      throw new AssertionError("on an owner", faults.peek());
    }
  }

  /** Reads all of the image, writes here and there, and compares with the file. */
  static void readAndWrite(DriverTransport transport, Path image) throws Exception {
    onLoop(
        loop -> {
          byte[] expected = Files.readAllBytes(image);
          try (BlkDriver driver =
              BlkDriver.open(transport, BlkDriverOptions.builder(loop).build())) {
            assertEquals(expected.length, driver.capacity());
            byte[] back = new byte[expected.length];
            driver.read(0, MemorySegment.ofArray(back));
            Patterns.assertSame(expected, back, "what was read");
            put(driver, expected, 7 * 512, Patterns.random(2, MIB + 512));
            MemorySegment shared = driver.allocate(MIB);
            byte[] mib = Patterns.random(3, MIB);
            shared.copyFrom(MemorySegment.ofArray(mib));
            driver.write(2 * MIB, shared);
            System.arraycopy(mib, 0, expected, 2 * MIB, MIB);
            for (int i = 0; i < 100; i++) {
              put(driver, expected, 3 * MIB + 1024 * i, Patterns.random(10 + i, 512));
            }
            driver.flush();
            Patterns.assertSame(expected, Files.readAllBytes(image), "the image");
            driver.read(0, MemorySegment.ofArray(back));
            Patterns.assertSame(expected, back, "what was read again");
            driver.release(shared);
          }
        });
  }

  private static void put(BlkDriver driver, byte[] expected, int at, byte[] bytes)
      throws IOException {
    driver.write(at, MemorySegment.ofArray(bytes));
    System.arraycopy(bytes, 0, expected, at, bytes.length);
  }

  /** What the test does to make the disk larger. */
  interface Resize {
    void to(long bytes) throws Exception;
  }

  /** Sees to it that the driver hears of another capacity. */
  static void hearsOfItsSize(DriverTransport transport, Resize resize) throws Exception {
    onLoop(
        loop -> {
          try (BlkDriver driver =
              BlkDriver.open(transport, BlkDriverOptions.builder(loop).build())) {
            BlockingQueue<Long> told = new LinkedBlockingQueue<>();
            driver.onCapacityChange(told::add);
            resize.to(2 * SIZE);
            assertEquals(2L * SIZE, told.poll(30, TimeUnit.SECONDS));
            driver.write(2L * SIZE - 512, MemorySegment.ofArray(Patterns.random(1, 512)));
          }
        });
  }

  /** Sees to it that requests fail, those under way and those to come, once the device is gone. */
  static void failsWith(DriverTransport transport, Runnable end) throws Exception {
    onLoop(
        loop -> {
          try (BlkDriver driver =
              BlkDriver.open(transport, BlkDriverOptions.builder(loop).build())) {
            MemorySegment buffer = driver.allocate(MIB);
            driver.read(0, buffer);
            Thread killer = Thread.ofPlatform().start(end);
            assertThrows(
                IOException.class,
                () -> {
                  while (true) {
                    driver.read(0, buffer);
                  }
                });
            killer.join();
            assertThrows(IOException.class, () -> driver.read(0, buffer));
          }
        });
  }

  /** Takes entropy. */
  static void takeEntropy(DriverTransport transport) throws Exception {
    onLoop(
        loop -> {
          try (RngDriver driver = RngDriver.open(transport, loop)) {
            byte[] first = new byte[4096];
            byte[] second = new byte[4096];
            driver.read(MemorySegment.ofArray(first));
            driver.read(MemorySegment.ofArray(second));
            assertNotEquals(-1, Arrays.mismatch(first, second));
            assertTrue(new String(first).chars().distinct().count() > 20);
          }
        });
  }
}
