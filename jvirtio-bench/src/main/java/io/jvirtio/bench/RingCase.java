// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.StringJoiner;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;

/** One row of {@link RingBench}: what is measured, and its figures, one for each round. */
final class RingCase {
  static final String HEAD =
      "| threads | format | descriptors | event index | Java | C | ratio | to split |\n"
          + "| ---: | --- | --- | --- | ---: | ---: | ---: | ---: |";

  private final int threads;

  /** The same case with a split ring; null when this is it. */
  private final RingCase split;

  private final boolean indirect;
  private final boolean eventIdx;
  private final List<Double> java = new ArrayList<>();
  private final List<Double> c = new ArrayList<>();
  private double share = -1;

  RingCase(int threads, RingCase split, boolean indirect, boolean eventIdx) {
    this.threads = threads;
    this.split = split;
    this.indirect = indirect;
    this.eventIdx = eventIdx;
  }

  int threads() {
    return threads;
  }

  boolean packed() {
    return split != null;
  }

  boolean indirect() {
    return indirect;
  }

  boolean eventIdx() {
    return eventIdx;
  }

  List<Double> java() {
    return java;
  }

  List<Double> c() {
    return c;
  }

  /**
   * The queue size: with indirect tables a small one, because a split queue's driver uses them only
   * when descriptors run short.
   */
  int size() {
    return indirect ? 64 * threads : 256;
  }

  /** Notes which share of the requests lay in indirect tables: with both sides the same. */
  void share(double seen) {
    if (share >= 0 && Math.abs(share - seen) > 0.05) {
      throw new IllegalStateException(
          "indirect tables for " + share + " of the requests, and for " + seen);
    }
    share = seen;
  }

  private double ratio() {
    return median(c) / median(java);
  }

  private double toSplit() {
    return median(split.java) / median(java);
  }

  private double toSplitInRound(int round) {
    return split.java.get(round) / java.get(round);
  }

  private double roundRatio(int round) {
    return c.get(round) / java.get(round);
  }

  String row() {
    return String.format(
        Locale.ROOT,
        "| %d | %s | %s | %s | %s | %s | %s | %s |",
        threads,
        packed() ? "packed" : "split",
        indirect ? String.format(Locale.ROOT, "%.0f %% indirect", 100 * share) : "direct",
        eventIdx ? "yes" : "no",
        figures(java),
        c.isEmpty() ? "-" : figures(c),
        c.isEmpty() ? "-" : range(ratio(), c.size(), this::roundRatio),
        packed() ? range(toSplit(), java.size(), this::toSplitInRound) : "");
  }

  private static String range(double ratio, int rounds, IntToDoubleFunction ofRound) {
    return String.format(
        Locale.ROOT,
        "%.2f [%.2f..%.2f]",
        ratio,
        IntStream.range(0, rounds).mapToDouble(ofRound).min().orElseThrow(),
        IntStream.range(0, rounds).mapToDouble(ofRound).max().orElseThrow());
  }

  private static String figures(List<Double> values) {
    return String.format(
        Locale.ROOT,
        "%.1f [%.1f..%.1f]",
        median(values),
        values.stream().mapToDouble(d -> d).min().orElseThrow(),
        values.stream().mapToDouble(d -> d).max().orElseThrow());
  }

  private static double median(List<Double> values) {
    double[] sorted = values.stream().mapToDouble(d -> d).sorted().toArray();
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** One object: every round of every case. */
  static String json(List<RingCase> cases, int batch) {
    StringJoiner runs = new StringJoiner(",\n    ", "[\n    ", "\n  ]");
    for (RingCase one : cases) {
      runs.add(
          String.format(
              Locale.ROOT,
              "{\"threads\": %d, \"format\": \"%s\", \"indirect\": %.3f, \"event_idx\": %b, \"java_ns\": %s,"
                  + " \"c_ns\": %s, \"ratio\": %s, \"to_split\": %s}",
              one.threads,
              one.packed() ? "packed" : "split",
              one.share,
              one.eventIdx,
              one.java,
              one.c,
              one.c.isEmpty() ? "null" : String.format(Locale.ROOT, "%.3f", one.ratio()),
              one.packed() ? String.format(Locale.ROOT, "%.3f", one.toSplit()) : "null"));
    }
    return "{\n  \"batch\": " + batch + ",\n  \"runs\": " + runs + "\n}\n";
  }
}
