// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.devices.blk.RequestObserver;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.ConcurrentHistogram;
import org.HdrHistogram.Histogram;

/** How long requests took. Thread-safe; recording does not block. */
final class Latencies implements RequestObserver {
  private static final long LONGEST = TimeUnit.MINUTES.toNanos(10);
  private static final int DIGITS = 3;

  private final Histogram histogram = new ConcurrentHistogram(LONGEST, DIGITS);

  @Override
  public void request(int queue, BlkRequestType type, long bytes, int status, long nanos) {
    histogram.recordValue(Math.clamp(nanos, 0, LONGEST));
  }

  /**
   * The time within which that share of the requests ended.
   *
   * @param percent 0 to 100
   * @return microseconds; 0 without a request
   */
  double micros(double percent) {
    return histogram.getTotalCount() == 0 ? 0 : histogram.getValueAtPercentile(percent) / 1e3;
  }
}
