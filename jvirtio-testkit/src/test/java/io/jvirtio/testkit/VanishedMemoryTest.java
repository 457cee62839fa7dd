// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.spec.DeviceStatus;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A front-end truncates the file behind guest memory while a device uses it. */
class VanishedMemoryTest {
  private static final byte[] HELLO = "hello".getBytes();
  private static final long FILE = 0x10_0000;
  private static final long SIZE = 0x1_0000;
  private static final long OWN = 0x1000_0000;

  @TempDir Path folder;

  /** Half of them with code that the JIT has compiled, where the error comes late. */
  @ParameterizedTest
  @CsvSource({
    "true, 1, false, false", "true, 30000, false, false", "false, 1, false, false",
    "false, 30000, false, false", "true, 1, true, false", "true, 30000, true, false",
    "false, 1, true, false", "false, 30000, true, false", "true, 1, false, true",
    "true, 30000, false, true", "false, 1, true, true", "false, 30000, true, true"
  })
  void aTruncatedFileBreaksOneDevice(
      boolean ringsInFile, int warmUp, boolean threaded, boolean packed) throws IOException {
    try (FileChannel file = FileChannel.open(folder.resolve("guest"), CREATE, READ, WRITE);
        Arena arena = Arena.ofShared();
        TestMemory memory = memory(file.map(MapMode.READ_WRITE, 0, SIZE, arena), ringsInFile)) {
      DeviceBench.Builder builder =
          DeviceBench.of(PuppetDevice.echoing(8)).memory(memory).queueSize(8);
      if (packed) {
        builder.packed();
      }
      try (DeviceBench bench = threaded ? builder.threaded().start() : builder.start();
          DeviceBench bystander = DeviceBench.of(PuppetDevice.echoing(8)).start()) {
        long out = ringsInFile ? memory.allocate(8, 8) : FILE;
        memory.write(out, HELLO);
        for (int i = 0; i < warmUp; i++) {
          bench.driver(0).chain().readableAt(out, 5).writableAt(out + 8, 5).submit();
          bench.awaitUsed(0, 1);
          bench.driver(0).poll();
        }
        assertArrayEquals(HELLO, memory.read(out + 8, 5));
        file.truncate(0);
        if (!ringsInFile) {
          bench.driver(0).chain().readableAt(out, 5).writableAt(out + 8, 5).submit();
        }
        bench.await(() -> bench.brokenReason(0) != null);
        assertEquals(FaultReason.MEMORY_VANISHED, bench.brokenReason(0));
        assertEquals(1, bench.host().faults());
        assertEquals(1, bench.configurationChanges());
        assertTrue((bench.host().status() & DeviceStatus.DEVICE_NEEDS_RESET) != 0);

        bystander.driver(0).chain().readable(HELLO).writable(5).submit();
        bystander.run();
        assertArrayEquals(HELLO, bystander.driver(0).poll().bytes());

        // The file is whole again, and the driver resets the device.
        file.write(ByteBuffer.allocate((int) SIZE), 0);
        bench.restart();
        bench.driver(0).chain().readable(HELLO).writable(5).submit();
        bench.awaitUsed(0, 1);
        assertArrayEquals(HELLO, bench.driver(0).poll().bytes());
      }
    }
  }

  private static TestMemory memory(MemorySegment mapping, boolean ringsInFile) {
    TestMemory.Builder builder = TestMemory.builder();
    if (ringsInFile) {
      builder.region(FILE, mapping).region(OWN, SIZE);
    } else {
      builder.region(OWN, SIZE).region(FILE, mapping);
    }
    return builder.build();
  }
}
