// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Wrong arguments of the commands that drive devices. */
class DriveUsageTest {
  @ParameterizedTest
  @CsvSource({
    "--device=toaster, 'no device type; name its number, or one of net, blk,'",
    "--device=999, no device type",
    "--device=, no device type",
    "--timeout=0, --timeout is 0.0 s",
    "--timeout=-1, --timeout is -1.0 s",
    "--timeout=NaN, --timeout is NaN s",
    "--timeout=soon, '--timeout'",
    "--jsn, unknown option --jsn",
    "--log-level=loud, '--log-level'",
    "stray, unknown argument stray",
  })
  void probe(String option, String part) {
    CommandRun.of("probe", "--socket-path=/none", option)
        .assertFails(2, part, "see 'jvirtio probe --help'");
  }

  @ParameterizedTest
  @CsvSource({
    "--readwrite=trim, '--readwrite'",
    "--iodepth=0, --iodepth is 0",
    "--iodepth=99999, --iodepth is 99999",
    "--blocksize=1000, --blocksize is 1000",
    "--blocksize=0, --blocksize is 0",
    "--blocksize=2G, --blocksize is 2147483648",
    "--blocksize=big, 'is no size'",
    "--runtime=0, --runtime is 0.0",
    "--runtime=-1, --runtime is -1.0",
    "--runtime=NaN, --runtime is NaN",
    "--num-threads=0, --num-threads is 0",
    "--num-threads=257, --num-threads is 257",
    "--queue-size=300, --queue-size is 300",
    "--queue-size=2, --queue-size is 2",
    "--mode=fast, '--mode'",
    "--timeout=9999, --timeout is 9999.0",
    "--io-depth=3, unknown option --io-depth",
    "--packed=maybe, '--packed'",
    "--in-order=1, '--in-order'",
    "--event-idx=yes, '--event-idx'",
    "--indirect=no, '--indirect'",
    "--no-indirect, unknown option --no-indirect",
  })
  void bench(String option, String part) {
    CommandRun.of("bench", "blk", "--socket-path=/none", option)
        .assertFails(2, part, "see 'jvirtio bench blk --help'");
  }

  @ParameterizedTest
  @CsvSource({
    "--size=0, --size is 0",
    "--size=1000000, --size is 1000000",
    "--size=2T, --size is 2199023255552",
    "--size=lots, is no size",
    "--fast, unknown option --fast",
    "--packed=maybe, '--packed'",
    "--indirect=no, '--indirect'",
  })
  void demo(String option, String part) {
    CommandRun.of("demo", option).assertFails(2, part, "see 'jvirtio demo --help'");
  }

  @Test
  void whatIsMissing() {
    CommandRun.of("probe").assertFails(2, "--socket-path");
    CommandRun.of("copy", "--socket-path=/none").assertFails(2, "FILE");
    CommandRun.of("copy", "file").assertFails(2, "--socket-path");
    CommandRun.of("copy", "--socket-path=/none", "a", "b").assertFails(2, "unknown argument b");
    CommandRun.of("copy", "--socket-path=/none", "--packed=x", "a").assertFails(2, "'--packed'");
    CommandRun.of("bench").assertFails(2, "the type of the device is missing: blk");
    CommandRun.of("bench", "net").assertFails(2, "unknown argument net");
    CommandRun.of("bench", "blk").assertFails(2, "--socket-path");
  }

  @ParameterizedTest
  @CsvSource({
    "probe, jvirtio probe --socket-path=/tmp/disk.sock",
    "copy, --to-device --verify backup.img",
    "demo, jvirtio demo --size=1G",
  })
  void helpTeaches(String command, String example) {
    CommandRun.of(command, "--help").assertOk().assertPrints(example, "Exit codes: 0");
  }

  @Test
  void everyCommandIsListed() {
    CommandRun help = CommandRun.of("--help").assertOk();
    help.assertPrints("  blk ", "  boot ", "  probe ", "  copy ", "  bench ", "  demo ");
    CommandRun.of("bench", "blk", "--help").assertOk().assertPrints("mean_lat_us", "--iodepth");
    assertEquals("", help.err());
  }
}
