// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.StringJoiner;

/**
 * The figures of {@link BlkBench}, for a reader and for a program.
 *
 * @param results by {@link #key}, thousands of requests a second, one for each round
 * @param processes by server, named figures
 */
record BlkReport(
    BlkBenchOptions options,
    Map<String, List<Double>> results,
    Map<String, Map<String, Double>> processes) {

  static String key(String load, String depth, String server) {
    return load + " " + depth + " " + server;
  }

  /** A table: medians, and ratios to the peer. */
  String text() {
    StringBuilder out = new StringBuilder();
    out.append(
        String.format(
            "4 KiB, %d processors, median of %d rounds of %d s:"
                + " 1000 requests/s (ratio to qemu-storage-daemon) [lowest..highest]%n%n",
            Runtime.getRuntime().availableProcessors(), options.rounds(), options.seconds()));
    out.append("| load | depth |");
    options.servers().forEach(s -> out.append(' ').append(s).append(" |"));
    out.append("\n| --- | ---: |").append(" ---: |".repeat(options.servers().size())).append('\n');
    for (String load : options.loads()) {
      for (String depth : options.depths()) {
        out.append("| ").append(load).append(" | ").append(depth).append(" |");
        for (String server : options.servers()) {
          out.append(' ').append(cell(load, depth, server)).append(" |");
        }
        out.append('\n');
      }
    }
    return out.append('\n').toString();
  }

  /** What the processes cost, a line each. */
  String processText() {
    StringBuilder out = new StringBuilder();
    processes.forEach(
        (server, figures) -> {
          out.append(server).append(':');
          figures.forEach((k, v) -> out.append(String.format(Locale.ROOT, " %s=%.3f", k, v)));
          out.append('\n');
        });
    return out.toString();
  }

  private String cell(String load, String depth, String server) {
    List<Double> rounds = results.get(key(load, depth, server));
    double low = rounds.stream().mapToDouble(d -> d).min().orElseThrow();
    double high = rounds.stream().mapToDouble(d -> d).max().orElseThrow();
    return String.format(
        Locale.ROOT,
        "%.1f (%.2f) [%.0f..%.0f]",
        median(rounds),
        ratio(load, depth, server),
        low,
        high);
  }

  /** The medians' ratio: a round that something else disturbed does not count twice. */
  private double ratio(String load, String depth, String server) {
    return median(results.get(key(load, depth, server)))
        / median(results.get(key(load, depth, BlkBenchOptions.PEER)));
  }

  private static double median(List<Double> values) {
    double[] sorted = values.stream().mapToDouble(d -> d).sorted().toArray();
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** One object: every round of every measurement, and what the processes cost. */
  String json() {
    StringJoiner runs = new StringJoiner(",\n    ", "[\n    ", "\n  ]");
    for (String load : options.loads()) {
      for (String depth : options.depths()) {
        for (String server : options.servers()) {
          runs.add(
              String.format(
                  Locale.ROOT,
                  "{\"load\": \"%s\", \"depth\": %s, \"server\": \"%s\", \"kiops\": %s,"
                      + " \"ratio\": %.3f}",
                  load,
                  depth,
                  server,
                  results.get(key(load, depth, server)),
                  ratio(load, depth, server)));
        }
      }
    }
    StringJoiner servers = new StringJoiner(",\n    ", "{\n    ", "\n  }");
    processes.forEach(
        (server, figures) -> {
          StringJoiner fields = new StringJoiner(", ", "{", "}");
          figures.forEach((k, v) -> fields.add(String.format(Locale.ROOT, "\"%s\": %.3f", k, v)));
          servers.add("\"" + server + "\": " + fields);
        });
    return "{\n  \"runs\": " + runs + ",\n  \"processes\": " + servers + "\n}\n";
  }
}
