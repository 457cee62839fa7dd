// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.linux.SocketServer;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.vfio.VfioUserServer;
import io.jvirtio.vfio.VfioUserStats;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserStats;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** The server of a device, and what is said of it, whatever it speaks. */
public final class DeviceServer implements AutoCloseable {
  private final SocketServer server;
  private final Supplier<Map<String, Object>> counts;
  private final Supplier<Map<String, List<String>>> words;
  private final Supplier<FeatureBits> negotiated;

  private DeviceServer(
      SocketServer server,
      Supplier<Map<String, Object>> counts,
      Supplier<Map<String, List<String>>> words,
      Supplier<FeatureBits> negotiated) {
    this.server = server;
    this.counts = counts;
    this.words = words;
    this.negotiated = negotiated;
  }

  /** A vhost-user server. */
  public static DeviceServer of(VhostUserServer server) {
    return new DeviceServer(
        server,
        () -> counts(server.stats()),
        () -> words(server.stats()),
        () -> server.stats().negotiated());
  }

  /** A vfio-user server. */
  public static DeviceServer of(VfioUserServer server) {
    return new DeviceServer(
        server,
        () -> counts(server.stats()),
        () -> words(server.stats()),
        () -> server.stats().negotiated());
  }

  /** Serves, and can be stopped. */
  public SocketServer server() {
    return server;
  }

  /** What was counted, by the keys of JSON. */
  public Map<String, Object> counts() {
    return counts.get();
  }

  private static Map<String, Object> counts(VhostUserStats stats) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("frontEnds", stats.sessions());
    map.put("notificationsReceived", stats.notificationsReceived());
    map.put("notificationsSent", stats.notificationsSent());
    map.put("notificationsSuppressed", stats.notificationsSuppressed());
    return map;
  }

  private static Map<String, Object> counts(VfioUserStats stats) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("clients", stats.sessions());
    map.put("registerAccesses", stats.accesses());
    map.put("interrupts", stats.interrupts());
    map.put("notificationsSuppressed", stats.notificationsSuppressed());
    return map;
  }

  /** What was counted, in words for people below titles. */
  public Map<String, List<String>> words() {
    return words.get();
  }

  private static Map<String, List<String>> words(VhostUserStats stats) {
    return Map.of(
        "notifications",
        List.of(
            stats.notificationsReceived() + " received",
            stats.notificationsSent() + " sent",
            stats.notificationsSuppressed() + " suppressed"));
  }

  private static Map<String, List<String>> words(VfioUserStats stats) {
    Map<String, List<String>> map = new LinkedHashMap<>();
    map.put("registers", List.of(stats.accesses() + " accesses"));
    map.put(
        "interrupts",
        List.of(stats.interrupts() + " sent", stats.notificationsSuppressed() + " suppressed"));
    return map;
  }

  /** The virtio features negotiated last. */
  public FeatureBits negotiated() {
    return negotiated.get();
  }

  @Override
  public void close() {
    server.close();
  }
}
