// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class MeasurementsTest {
  private static final int BLOCK = 1 << 20;

  private static Measurements of(long seconds, long... micros) {
    Measurements measured = new Measurements(BLOCK);
    for (long one : micros) {
      measured.request(one * 1000);
    }
    measured.call(micros.length);
    measured.call(0);
    measured.took(seconds * 1_000_000_000L);
    return measured;
  }

  @Test
  void keysAndNumbersOfBlkioBench() {
    Map<String, Object> json = of(2, 10, 20, 30, 40).json();
    assertEquals(
        List.of(
            "kiops",
            "gips",
            "min_lat_us",
            "mean_lat_us",
            "max_lat_us",
            "p50_lat_us",
            "p90_lat_us",
            "p99_lat_us",
            "p99_9_lat_us",
            "calls",
            "min_completions",
            "mean_completions",
            "max_completions"),
        List.copyOf(json.keySet()));
    assertEquals(0.002, json.get("kiops"));
    assertEquals(0.002, json.get("gips"));
    assertEquals(10.0, json.get("min_lat_us"));
    assertEquals(25.0, json.get("mean_lat_us"));
    assertEquals(40.0, json.get("max_lat_us"));
    // Three digits are kept.
    assertEquals(20, (double) json.get("p50_lat_us"), 0.02);
    assertEquals(40, (double) json.get("p99_9_lat_us"), 0.04);
    assertEquals(2L, json.get("calls"));
    // A look in vain counts as a call, and for nothing else.
    assertEquals(4L, json.get("min_completions"));
    assertEquals(2.0, json.get("mean_completions"));
  }

  @Test
  void threadsTogether() {
    Measurements all = Measurements.sum(List.of(of(1, 10, 20), of(1, 30)), BLOCK);
    assertEquals(3, all.count());
    assertEquals(3.0, all.perSecond());
    assertEquals(20.0, all.meanMicros());
    assertEquals(10.0, all.minMicros());
    assertEquals(30.0, all.maxMicros());
    assertEquals(0.75, all.meanCompletions());
  }

  @Test
  void withoutARequestEverythingIsZero() {
    Map<String, Object> json = new Measurements(BLOCK).json();
    json.forEach((key, value) -> assertEquals(0.0, ((Number) value).doubleValue(), key));
  }
}
