// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.devices.blk.BlkOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code bench blk}, against our own device. */
@Timeout(120)
class BenchTest {
  private static final int SIZE = 1 << 20;

  @TempDir private Path folder;

  private static CommandRun bench(Path socket, String... options) {
    String[] args = new String[options.length + 3];
    args[0] = "bench";
    args[1] = "blk";
    args[2] = "--socket-path=" + socket;
    System.arraycopy(options, 0, args, 3, options.length);
    return CommandRun.of(args);
  }

  private Path image() throws IOException {
    return ServedDisk.sized(folder.resolve("disk.img"), SIZE);
  }

  private ServedDisk disk() throws IOException {
    return new ServedDisk(folder.resolve("s"), image());
  }

  private static double number(CommandRun run, String key) {
    Matcher matcher = Pattern.compile("\"" + key + "\":([0-9.E-]+)").matcher(run.out());
    assertTrue(matcher.find(), run.out() + " lacks " + key);
    return Double.parseDouble(matcher.group(1));
  }

  @ParameterizedTest
  @CsvSource({
    "read, 1, 4096, --mode=adaptive",
    "randread, 32, 4K, --mode=event",
    "write, 3, 512, --mode=poll",
    "randwrite, 300, 4096, --mode=adaptive",
    "randread, 8, 64K, --poll",
    "randread, 8, 4096, --num-threads=2",
  })
  void measures(String pattern, String depth, String size, String option) throws IOException {
    try (ServedDisk disk = disk()) {
      CommandRun run =
          bench(
                  disk.path,
                  "--readwrite=" + pattern,
                  "--iodepth=" + depth,
                  "--blocksize=" + size,
                  "--runtime=0.3",
                  "--destroy-data",
                  "--json",
                  option)
              .assertOk();
      assertEquals(1, run.out().lines().count(), run.out());
      assertTrue(number(run, "kiops") > 0, run.out());
      double min = number(run, "min_lat_us");
      assertTrue(min > 0 && min <= number(run, "mean_lat_us"), run.out());
      assertTrue(number(run, "mean_lat_us") <= number(run, "max_lat_us"), run.out());
      assertTrue(number(run, "p50_lat_us") <= number(run, "p99_9_lat_us"), run.out());
      assertTrue(number(run, "max_completions") <= Integer.parseInt(depth), run.out());
      assertTrue(number(run, "notifications_sent") > 0, run.out());
      int threads = option.equals("--num-threads=2") ? 2 : 1;
      assertEquals(threads + 2, run.out().split("\"kiops\"", -1).length, run.out());
      // Polled queues have no callbacks.
      assertEquals(option.equals("--poll"), number(run, "callbacks") == 0, run.out());
    }
  }

  @Test
  void tableForPeople() throws IOException {
    try (ServedDisk disk = disk()) {
      bench(disk.path, "--runtime=0.2", "--num-threads=2")
          .assertOk()
          .assertPrints("kIOPS", "p99.9", "thread 1", "\nall ", "suppressed", "VIRTIO_F_VERSION_1");
    }
  }

  @Test
  void warmUpDoesNotCount() throws IOException {
    try (ServedDisk disk = disk()) {
      long started = System.nanoTime();
      CommandRun run = bench(disk.path, "--warmup=0.5", "--runtime=0.2", "--json").assertOk();
      assertTrue(System.nanoTime() - started >= 700_000_000L, "both take their time");
      assertTrue(number(run, "kiops") > 0, run.out());
      bench(disk.path, "--warmup=-1").assertFails(2, "--warmup is -1");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "--packed, VIRTIO_F_RING_PACKED",
    "--event-idx, VIRTIO_F_EVENT_IDX",
    "--indirect, VIRTIO_F_INDIRECT_DESC",
  })
  void featuresOfTheRingsAreSwitchedOff(String option, String name) throws IOException {
    String[] load = {"--runtime=0.2", "--iodepth=32", "--queue-size=16", option + "=on"};
    try (ServedDisk disk = disk()) {
      bench(disk.path, load).assertOk().assertPrints(name);
      load[3] = option + "=off";
      CommandRun run = bench(disk.path, load).assertOk();
      assertFalse(run.out().contains(name), run.out());
      assertFalse(run.out().contains("VIRTIO_F_IN_ORDER"), run.out());
    }
  }

  @Test
  void writesOnlyWithConsent() throws IOException {
    try (ServedDisk disk = disk()) {
      bench(disk.path, "--readwrite=randwrite", "--runtime=0.2")
          .assertFails(1, "overwrites what is on the disk", "--destroy-data");
      bench(disk.path, "--readwrite=randread", "--runtime=0.2").assertOk();
      assertEquals(-1, Files.mismatch(image(), ServedDisk.sized(folder.resolve("zeros"), SIZE)));
      bench(disk.path, "--readwrite=randwrite", "--runtime=0.2", "--destroy-data").assertOk();
      assertNotEquals(-1, Files.mismatch(image(), folder.resolve("zeros")));
    }
  }

  @Test
  void refusesWhatTheDeviceCannotDo() throws IOException {
    try (ServedDisk disk = disk()) {
      bench(disk.path, "--num-threads=3").assertFails(1, "2 queue(s)", "--num-threads is 3");
      bench(disk.path, "--blocksize=1G").assertFails(1, "--blocksize", "at most");
    }
    BlkOptions options = BlkOptions.builder().readOnly(true).blockSize(4096).build();
    try (ServedDisk disk =
        new ServedDisk(
            folder.resolve("r"),
            RawFileBackend.open(RawFileOptions.of(image()).withReadOnly(true).withBlockSize(4096)),
            options)) {
      bench(disk.path, "--readwrite=write", "--destroy-data").assertFails(1, "is read-only");
      bench(disk.path, "--blocksize=512").assertFails(1, "--blocksize", "4096");
    }
  }

  @Test
  void noDiskAtAll() throws IOException {
    bench(folder.resolve("none")).assertFails(1, "there is no socket");
    long net = 1L << 32 | 1L << 5 | 1L << 16 | 1L << 15 | 1L << 17 | 1L << 18;
    try (ScriptedBackEnd end = new ScriptedBackEnd(folder.resolve("net"), net, 0, 0)) {
      bench(end.path).assertFails(1, "no block device", "type net", "jvirtio probe");
    }
    try (ScriptedBackEnd end = new ScriptedBackEnd(folder.resolve("old"), 1L << 9, 0, 0)) {
      bench(end.path).assertFails(1, "VIRTIO_F_VERSION_1");
    }
  }
}
