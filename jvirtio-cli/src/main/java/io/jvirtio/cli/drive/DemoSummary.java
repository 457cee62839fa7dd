// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a demonstration has seen. Filled step by step by one thread. */
final class DemoSummary {
  private static final int INDENT = 15;

  long size;
  int blockSize;
  int queueSize;
  String serial;
  List<String> features = List.of();
  long writeNanos;
  long flushNanos;
  long verifyNanos;
  Measurements alone;
  Measurements together;
  int depth;
  long allocatedBefore;
  long allocatedAfter;
  long sent;
  long suppressed;
  long requests;

  /** What the device's process has printed. */
  String device = "";

  private long ofDevice(String key) {
    Matcher matcher = Pattern.compile("\"" + key + "\":(\\d{1,18})").matcher(device);
    return matcher.find() ? Long.parseLong(matcher.group(1)) : 0;
  }

  private static String rate(long bytes, long nanos) {
    return Sizes.text((long) (bytes / (Math.max(nanos, 1) / 1e9))) + "/s";
  }

  /** Lines for people. */
  List<String> lines() {
    List<String> lines = new ArrayList<>();
    lines.add(line("write", rate(size, writeNanos) + ", flush " + millis(flushNanos)));
    lines.add(line("read", rate(size, verifyNanos) + ", every byte compared"));
    lines.add(line("random reads", latencies("one at a time", alone)));
    lines.add(line("", latencies(depth + " in flight", together)));
    lines.add(line("discard", imageTakes()));
    lines.add(line("notifications", saved("driver to device", sent, suppressed)));
    lines.add(
        line(
            "",
            saved(
                "device to driver",
                ofDevice("notificationsSent"),
                ofDevice("notificationsSuppressed"))));
    lines.addAll(Lines.wrapped("features", INDENT, features));
    return lines;
  }

  private static String line(String title, String text) {
    return String.format("%-" + INDENT + "s%s", title, text);
  }

  private static String millis(long nanos) {
    return String.format(Locale.ROOT, "%.1f ms", nanos / 1e6);
  }

  private String imageTakes() {
    return "the image took "
        + Sizes.text(allocatedBefore)
        + " and takes "
        + Sizes.text(allocatedAfter)
        + " now; it reads as zeroes";
  }

  private static String latencies(String what, Measurements measured) {
    return String.format(
        Locale.ROOT,
        "%s: %.0f a second; p50 %.1f us, p99 %.1f us, p99.9 %.1f us",
        what,
        measured.perSecond(),
        measured.micros(50),
        measured.micros(99),
        measured.micros(99.9));
  }

  private String saved(String direction, long told, long untold) {
    long all = told + untold;
    return String.format(
        Locale.ROOT,
        "%s: %d sent, %d suppressed (%.0f %% saved), for %d requests",
        direction,
        told,
        untold,
        all == 0 ? 0 : 100.0 * untold / all,
        requests);
  }

  /** The same for programs. */
  Map<String, Object> json() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("sizeBytes", size);
    map.put("blockSize", blockSize);
    map.put("serial", serial);
    map.put("features", features);
    map.put("writeBytesPerSecond", (long) (size / (Math.max(writeNanos, 1) / 1e9)));
    map.put("flushMicros", flushNanos / 1000);
    map.put("readBytesPerSecond", (long) (size / (Math.max(verifyNanos, 1) / 1e9)));
    map.put("randomReadDepth1", alone.json());
    map.put("randomReadDepth" + depth, together.json());
    map.put("allocatedBeforeDiscard", allocatedBefore);
    map.put("allocatedAfterDiscard", allocatedAfter);
    map.put("requests", requests);
    map.put("driverNotificationsSent", sent);
    map.put("driverNotificationsSuppressed", suppressed);
    map.put("deviceNotificationsSent", ofDevice("notificationsSent"));
    map.put("deviceNotificationsSuppressed", ofDevice("notificationsSuppressed"));
    return map;
  }
}
