// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.RingChoice;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.devices.blk.BlkStats;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.FeatureNames;
import io.jvirtio.spec.ReservedFeatures;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What went over the device, for people and for programs.
 *
 * @param accelerator kvm or tcg
 * @param rings which features of the rings were offered
 * @param canInOrder whether QEMU could offer VIRTIO_F_IN_ORDER
 * @param negotiated the virtio features
 * @param words what the server counted, for people
 * @param counts the same, for programs
 * @param disk what the device counted
 * @param latencies of its requests
 */
record Summary(
    String accelerator,
    RingChoice rings,
    boolean canInOrder,
    FeatureBits negotiated,
    Map<String, List<String>> words,
    Map<String, Object> counts,
    BlkStats disk,
    Latencies latencies) {
  private static final int WIDTH = 78;

  private boolean packed() {
    return negotiated.has(ReservedFeatures.VIRTIO_F_RING_PACKED);
  }

  /** What was asked for, is not a matter of course, and did not come about. */
  List<String> unmet() {
    List<String> lines = new ArrayList<>();
    if (rings.packed() && !packed()) {
      wrap(lines, "packed", List.of("asked for, but the guest's driver did not accept it"));
    }
    if (rings.inOrder() && !negotiated.has(ReservedFeatures.VIRTIO_F_IN_ORDER)) {
      String who =
          canInOrder ? "the guest's driver did not accept it" : "this QEMU cannot offer it";
      wrap(lines, "in order", List.of("asked for, but " + who));
    }
    return lines;
  }

  private List<String> features() {
    return FeatureNames.of(DeviceType.BLOCK.id(), negotiated);
  }

  private Map<String, Object> requests() {
    Map<String, Object> requests = new LinkedHashMap<>();
    for (BlkRequestType type : BlkRequestType.values()) {
      if (disk.requests(type) != 0) {
        requests.put(type.name().toLowerCase(Locale.ROOT), disk.requests(type));
      }
    }
    return requests;
  }

  /** Lines for people. */
  List<String> lines() {
    List<String> lines = new ArrayList<>();
    wrap(lines, "features", features());
    List<String> requests = new ArrayList<>();
    requests().forEach((type, count) -> requests.add(count + " " + type));
    requests.add(disk.ioErrors() + " failed");
    wrap(lines, "requests", requests);
    wrap(lines, "bytes", List.of(disk.bytesRead() + " read", disk.bytesWritten() + " written"));
    words.forEach((title, items) -> wrap(lines, title, items));
    wrap(
        lines,
        "latency",
        List.of(
            String.format(Locale.ROOT, "p50 %.0f us", latencies.micros(50)),
            String.format(Locale.ROOT, "p99 %.0f us", latencies.micros(99)),
            String.format(Locale.ROOT, "max %.0f us", latencies.micros(100))));
    lines.addAll(unmet());
    return lines;
  }

  private static void wrap(List<String> lines, String title, List<String> items) {
    StringBuilder line = new StringBuilder(String.format("%-15s", title));
    String separator = "";
    for (String item : items) {
      if (line.length() + separator.length() + item.length() > WIDTH && !separator.isEmpty()) {
        lines.add(line + ",");
        line = new StringBuilder(" ".repeat(15));
        separator = "";
      }
      line.append(separator).append(item);
      separator = ", ";
    }
    lines.add(line.toString());
  }

  /** For programs. */
  Map<String, Object> json() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("accelerator", accelerator);
    map.put("packed", packed());
    map.put("inOrder", negotiated.has(ReservedFeatures.VIRTIO_F_IN_ORDER));
    map.put("features", features());
    map.put("requests", requests());
    map.put("failedRequests", disk.ioErrors());
    map.put("bytesRead", disk.bytesRead());
    map.put("bytesWritten", disk.bytesWritten());
    map.putAll(counts);
    map.put("latencyP50Micros", latencies.micros(50));
    map.put("latencyP99Micros", latencies.micros(99));
    map.put("latencyMaxMicros", latencies.micros(100));
    return map;
  }
}
