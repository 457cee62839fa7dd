// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/** What one thread of a benchmark, or several together, have seen. Not thread-safe. */
final class Measurements {
  static final double[] PERCENTILES = {50, 90, 99, 99.9};
  static final String[] PERCENTILE_KEYS = {
    "p50_lat_us", "p90_lat_us", "p99_lat_us", "p99_9_lat_us"
  };

  private static final long LONGEST = TimeUnit.MINUTES.toNanos(10);
  private static final int DIGITS = 3;

  private final Histogram latencies = new Histogram(LONGEST, DIGITS);
  private final int blockSize;
  private long count;
  private long total;
  private long min = Long.MAX_VALUE;
  private long max;
  private long calls;
  private long minCompletions = Long.MAX_VALUE;
  private long maxCompletions;
  private double seconds;

  /** Nothing yet. */
  Measurements(int blockSize) {
    this.blockSize = blockSize;
  }

  /** A request took so long. */
  void request(long nanos) {
    latencies.recordValue(Math.clamp(nanos, 0, LONGEST));
    total += nanos;
    min = Math.min(min, nanos);
    max = Math.max(max, nanos);
    count++;
  }

  /** The queue was looked at, and so many requests had ended. */
  void call(int completions) {
    calls++;
    if (completions > 0) {
      minCompletions = Math.min(minCompletions, completions);
      maxCompletions = Math.max(maxCompletions, completions);
    }
  }

  /** All of it took so long. */
  void took(long nanos) {
    seconds = nanos / 1e9;
  }

  /** Threads that ran at the same time, together. */
  static Measurements sum(Iterable<Measurements> threads, int blockSize) {
    Measurements all = new Measurements(blockSize);
    int number = 0;
    for (Measurements one : threads) {
      all.latencies.add(one.latencies);
      all.count += one.count;
      all.total += one.total;
      all.min = Math.min(all.min, one.min);
      all.max = Math.max(all.max, one.max);
      all.calls += one.calls;
      all.minCompletions = Math.min(all.minCompletions, one.minCompletions);
      all.maxCompletions = Math.max(all.maxCompletions, one.maxCompletions);
      all.seconds += one.seconds;
      number++;
    }
    all.seconds /= Math.max(1, number);
    return all;
  }

  /** How many requests have ended. */
  long count() {
    return count;
  }

  /** Requests a second. */
  double perSecond() {
    return seconds == 0 ? 0 : count / seconds;
  }

  /** Bytes a second. */
  double bytesPerSecond() {
    return perSecond() * blockSize;
  }

  /** The latency that this share of the requests kept, in microseconds. */
  double micros(double percent) {
    return count == 0 ? 0 : latencies.getValueAtPercentile(percent) / 1e3;
  }

  /** In microseconds. */
  double minMicros() {
    return count == 0 ? 0 : min / 1e3;
  }

  /** In microseconds. */
  double meanMicros() {
    return count == 0 ? 0 : (double) total / count / 1e3;
  }

  /** In microseconds. */
  double maxMicros() {
    return max / 1e3;
  }

  /** Requests that ended in each look at the queue, looks in vain included. */
  double meanCompletions() {
    return calls == 0 ? 0 : (double) count / calls;
  }

  /** By the keys of libblkio's blkio-bench, and percentiles. */
  Map<String, Object> json() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("kiops", round(perSecond() / 1e3));
    map.put("gips", round(bytesPerSecond() / (1L << 30)));
    map.put("min_lat_us", round(minMicros()));
    map.put("mean_lat_us", round(meanMicros()));
    map.put("max_lat_us", round(maxMicros()));
    for (int i = 0; i < PERCENTILES.length; i++) {
      map.put(PERCENTILE_KEYS[i], round(micros(PERCENTILES[i])));
    }
    map.put("calls", calls);
    map.put("min_completions", count == 0 ? 0 : minCompletions);
    map.put("mean_completions", round(meanCompletions()));
    map.put("max_completions", maxCompletions);
    return map;
  }

  private static double round(double value) {
    return Math.round(value * 1e3) / 1e3;
  }
}
