// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.bench.DriverBenchOptions.Client;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.StringJoiner;

/**
 * The figures of {@link DriverBench}, for a reader and for a program.
 *
 * @param results by {@link #key}, thousands of requests a second, one for each round
 */
record DriverReport(DriverBenchOptions options, Map<String, List<Double>> results) {

  static String key(String load, String depth, Client client) {
    return load + " " + depth + " " + client;
  }

  /** A table: medians, and ratios to the peer that waits in the same way. */
  String text() {
    StringBuilder out = new StringBuilder();
    out.append(
        String.format(
            "4 KiB, %d processors, median of %d rounds of %d s, each after %d s of warm-up:"
                + " 1000 requests/s (ratio) [lowest..highest]%n%n",
            Runtime.getRuntime().availableProcessors(),
            options.rounds(),
            options.seconds(),
            options.warmup()));
    out.append("| load | depth |");
    options.clients().forEach(client -> out.append(' ').append(client.title()).append(" |"));
    out.append("\n| --- | ---: |").append(" ---: |".repeat(options.clients().size())).append('\n');
    for (String load : options.loads()) {
      for (String depth : options.depths()) {
        out.append("| ").append(load).append(" | ").append(depth).append(" |");
        for (Client client : options.clients()) {
          out.append(' ').append(cell(load, depth, client)).append(" |");
        }
        out.append('\n');
      }
    }
    return out.append('\n').toString();
  }

  private String cell(String load, String depth, Client client) {
    List<Double> rounds = rounds(load, depth, client);
    String median = String.format(Locale.ROOT, "%.1f", median(rounds));
    String spread =
        String.format(
            Locale.ROOT, " [%.0f..%.0f]", Collections.min(rounds), Collections.max(rounds));
    return client.isPeer()
        ? median + spread
        : median + String.format(Locale.ROOT, " (**%.2f**)", ratio(load, depth, client)) + spread;
  }

  private List<Double> rounds(String load, String depth, Client client) {
    return results.get(key(load, depth, client));
  }

  /** The medians' ratio: a round that something else disturbed does not count twice. */
  private double ratio(String load, String depth, Client client) {
    return median(rounds(load, depth, client)) / median(rounds(load, depth, client.peer()));
  }

  private static double median(List<Double> values) {
    double[] sorted = values.stream().mapToDouble(d -> d).sorted().toArray();
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** One object: every round of every measurement, and the ratios. */
  String json() {
    StringJoiner runs = new StringJoiner(",\n    ", "[\n    ", "\n  ]");
    for (String load : options.loads()) {
      for (String depth : options.depths()) {
        for (Client client : options.clients()) {
          runs.add(
              String.format(
                  Locale.ROOT,
                  "{\"load\": \"%s\", \"depth\": %s, \"client\": \"%s\", \"kiops\": %s,"
                      + " \"ratio\": %.3f}",
                  load,
                  depth,
                  client.title(),
                  rounds(load, depth, client),
                  ratio(load, depth, client)));
        }
      }
    }
    return "{\n  \"runs\": " + runs + "\n}\n";
  }
}
