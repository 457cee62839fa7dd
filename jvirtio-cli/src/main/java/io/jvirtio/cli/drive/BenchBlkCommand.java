// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Json;
import io.jvirtio.cli.RingOptions;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.spec.SplitRing;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Measures a block device, as libblkio's blkio-bench does. */
@Command(
    name = "blk",
    sortOptions = false,
    description = {
      "Measure a block device of a vhost-user back-end, or of a QEMU.",
      "",
      "Each thread owns a queue and keeps requests in flight on it. Options and JSON keys are"
          + " those of libblkio's blkio-bench, with percentiles added.",
      "",
    },
    footer = {
      "",
      "Examples:",
      "  jvirtio bench blk --socket-path=/tmp/disk.sock --readwrite=randread --iodepth=32 \\",
      "    --blocksize=4096 --runtime=5",
      "  jvirtio bench blk --socket-path=/tmp/disk.sock --num-threads=2 --poll --json",
      "  jvirtio bench blk --qtest=/tmp/q.sock --memory=/tmp/q.ram --irq=intx --runtime=5",
      "",
      "--json prints one object: aggregate, threads (an array of the same), each with kiops,",
      "gips (GiB/s), min_lat_us, mean_lat_us, max_lat_us, p50_lat_us, p90_lat_us, p99_lat_us,",
      "p99_9_lat_us, calls, min_completions, mean_completions, max_completions; features;",
      "notifications_sent, notifications_suppressed, callbacks.",
      "",
      "blkio-bench has no indirect descriptors: with --indirect=off, as there, those requests are",
      "in flight whose three descriptors each fit in the queue.",
      "",
      "Exit codes: 0 success, 1 failure, 2 wrong usage.",
    })
public final class BenchBlkCommand implements Callable<Integer> {
  private static final int MOST_THREADS = 256;
  private static final int MOST_DEPTH = 32768;
  private static final int LEAST_QUEUE = 4;
  private static final long MOST_BYTES = 1 << 30;
  private static final int SECTOR = 512;
  private static final double MOST_SECONDS = 86400;

  @Spec private CommandSpec spec;

  @Mixin private DiskPlaceOptions place;

  @Option(
      names = "--readwrite",
      defaultValue = "read",
      paramLabel = "PATTERN",
      description = "read, write, randread or randwrite (default: ${DEFAULT-VALUE}).")
  private Workload.Pattern pattern;

  @Option(
      names = "--iodepth",
      defaultValue = "1",
      paramLabel = "N",
      description = "Requests in flight on each queue (default: ${DEFAULT-VALUE}).")
  private int depth;

  @Option(
      names = "--queue-size",
      defaultValue = "256",
      paramLabel = "N",
      description =
          "Size of each queue, a power of two; the back-end must take it (default:"
              + " ${DEFAULT-VALUE}).")
  private int queueSize;

  @Mixin private RingOptions rings;

  @Option(
      names = "--blocksize",
      defaultValue = "4096",
      paramLabel = "BYTES",
      converter = Sizes.class,
      description = "Size of each request, such as 512 or 64K (default: ${DEFAULT-VALUE}).")
  private long blockSize;

  @Option(
      names = "--runtime",
      defaultValue = "30",
      paramLabel = "SECONDS",
      description = "How long (default: ${DEFAULT-VALUE}).")
  private double runtime;

  @Option(
      names = "--warmup",
      defaultValue = "0",
      paramLabel = "SECONDS",
      description =
          "How long before that, which counts for nothing but the notifications (default:"
              + " ${DEFAULT-VALUE}).")
  private double warmup;

  @Option(
      names = "--num-threads",
      defaultValue = "1",
      paramLabel = "N",
      description = "Threads, with a queue each (default: ${DEFAULT-VALUE}).")
  private int threads;

  @Option(names = "--poll", description = "Poll the queues, and let the device not notify.")
  private boolean poll;

  @Option(
      names = "--mode",
      defaultValue = "adaptive",
      paramLabel = "MODE",
      description =
          "Without --poll, how to wait: event (sleep), adaptive (poll a moment, then sleep) or poll"
              + " (never sleep) (default: ${DEFAULT-VALUE}).")
  private LoopMode mode;

  @Option(names = "--destroy-data", description = "Agree that writing overwrites the disk.")
  private boolean destroyData;

  @Option(names = "--json", description = "One JSON object on standard output.")
  private boolean json;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public BenchBlkCommand() {}

  @Override
  public Integer call() throws CliException, InterruptedException {
    place.begin();
    check();
    Workload workload =
        new Workload(
            pattern,
            depth,
            queueSize,
            (int) blockSize,
            (long) (warmup * TimeUnit.SECONDS.toNanos(1)),
            (long) (runtime * TimeUnit.SECONDS.toNanos(1)),
            threads,
            poll,
            mode);
    Bench bench = new Bench(place.place(), workload, rings.choice(), new Cancel());
    Bench.Result result = bench.run();
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(Json.of(json(result)));
    } else {
      lines(result).forEach(out::println);
    }
    return 0;
  }

  private void check() throws CliException {
    require(depth >= 1 && depth <= MOST_DEPTH, "--iodepth is " + depth + ", must be 1 to 32768");
    require(
        SplitRing.isValidQueueSize(queueSize) && queueSize >= LEAST_QUEUE,
        "--queue-size is " + queueSize + ", must be a power of two, 4 to 32768");
    require(
        blockSize >= SECTOR && blockSize <= MOST_BYTES && blockSize % SECTOR == 0,
        "--blocksize is " + blockSize + ", must be a multiple of 512 up to 1G");
    require(
        runtime > 0 && runtime <= MOST_SECONDS,
        "--runtime is " + runtime + " s, must be more than 0 and at most 86400");
    require(
        warmup >= 0 && warmup <= MOST_SECONDS, "--warmup is " + warmup + " s, must be 0 to 86400");
    require(
        threads >= 1 && threads <= MOST_THREADS,
        "--num-threads is " + threads + ", must be 1 to 256");
    if (pattern.writes() && !destroyData) {
      throw new CliException(
          "--readwrite="
              + pattern.name().toLowerCase(Locale.ROOT)
              + " overwrites what is on the disk: add --destroy-data if nobody needs it");
    }
  }

  private void require(boolean holds, String otherwise) {
    if (!holds) {
      throw new ParameterException(spec.commandLine(), otherwise);
    }
  }

  private Map<String, Object> json(Bench.Result result) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("aggregate", result.all().json());
    map.put("threads", result.threads().stream().map(Measurements::json).toList());
    map.put("features", result.features());
    map.put("notifications_sent", result.notificationsSent());
    map.put("notifications_suppressed", result.notificationsSuppressed());
    map.put("callbacks", result.callbacks());
    return map;
  }

  private List<String> lines(Bench.Result result) {
    List<String> lines = new ArrayList<>();
    lines.add(row("", "kIOPS", "GiB/s", "mean us", "p50", "p90", "p99", "p99.9", "max", "a call"));
    if (threads > 1) {
      for (int i = 0; i < result.threads().size(); i++) {
        lines.add(row("thread " + i, result.threads().get(i)));
      }
    }
    lines.add(row("all", result.all()));
    lines.add("");
    lines.add(
        "notifications  "
            + result.notificationsSent()
            + " sent, "
            + result.notificationsSuppressed()
            + " suppressed; "
            + result.all().count()
            + " requests, "
            + result.callbacks()
            + " callbacks");
    lines.addAll(Lines.wrapped("features", 15, result.features()));
    return lines;
  }

  private static String row(String name, Measurements measured) {
    List<Object> cells = new ArrayList<>();
    cells.add(String.format(Locale.ROOT, "%.1f", measured.perSecond() / 1e3));
    cells.add(String.format(Locale.ROOT, "%.3f", measured.bytesPerSecond() / (1L << 30)));
    cells.add(String.format(Locale.ROOT, "%.1f", measured.meanMicros()));
    for (double percentile : Measurements.PERCENTILES) {
      cells.add(String.format(Locale.ROOT, "%.1f", measured.micros(percentile)));
    }
    cells.add(String.format(Locale.ROOT, "%.1f", measured.maxMicros()));
    cells.add(String.format(Locale.ROOT, "%.2f", measured.meanCompletions()));
    return row(name, cells.toArray());
  }

  private static String row(String name, Object... cells) {
    StringBuilder line = new StringBuilder(String.format("%-10s", name));
    for (Object cell : cells) {
      line.append(String.format("%9s", cell));
    }
    return line.toString();
  }
}
