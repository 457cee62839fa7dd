// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.vfio.VfioUserServer;
import io.jvirtio.vfio.VfioUserStats;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserStats;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What the servers of a device have in common, whatever they speak. */
public interface DeviceServer extends AutoCloseable {
  /** Ends the waits of the sockets that are served. */
  Waker waker();

  /** Serves one after another, until it is stopped. */
  void serve(UnixServerSocket socket) throws IOException;

  /** Serves the one that is connected there. */
  void serve(UnixSocket connection) throws IOException;

  /** Ends the serving soon. Any thread. */
  void stop();

  /** What was counted, by the keys of JSON. */
  Map<String, Object> counts();

  /** What was counted, in words for people below titles. */
  Map<String, List<String>> words();

  /** The virtio features negotiated last. */
  FeatureBits negotiated();

  @Override
  void close();

  /** A vhost-user server. */
  static DeviceServer of(VhostUserServer server) {
    return new VhostUser(server);
  }

  /** A vfio-user server. */
  static DeviceServer of(VfioUserServer server) {
    return new VfioUser(server);
  }

  /** Its protocol is vhost-user. */
  record VhostUser(VhostUserServer server) implements DeviceServer {
    @Override
    public Waker waker() {
      return server.waker();
    }

    @Override
    public void serve(UnixServerSocket socket) throws IOException {
      server.serve(socket);
    }

    @Override
    public void serve(UnixSocket connection) throws IOException {
      server.serve(connection);
    }

    @Override
    public void stop() {
      server.stop();
    }

    @Override
    public Map<String, Object> counts() {
      VhostUserStats stats = server.stats();
      Map<String, Object> map = new LinkedHashMap<>();
      map.put("frontEnds", stats.sessions());
      map.put("notificationsReceived", stats.notificationsReceived());
      map.put("notificationsSent", stats.notificationsSent());
      map.put("notificationsSuppressed", stats.notificationsSuppressed());
      return map;
    }

    @Override
    public Map<String, List<String>> words() {
      VhostUserStats stats = server.stats();
      List<String> notifications =
          List.of(
              stats.notificationsReceived() + " received",
              stats.notificationsSent() + " sent",
              stats.notificationsSuppressed() + " suppressed");
      return Map.of("notifications", notifications);
    }

    @Override
    public FeatureBits negotiated() {
      return server.stats().negotiated();
    }

    @Override
    public void close() {
      server.close();
    }
  }

  /** Its protocol is vfio-user. */
  record VfioUser(VfioUserServer server) implements DeviceServer {
    @Override
    public Waker waker() {
      return server.waker();
    }

    @Override
    public void serve(UnixServerSocket socket) throws IOException {
      server.serve(socket);
    }

    @Override
    public void serve(UnixSocket connection) {
      server.serve(connection);
    }

    @Override
    public void stop() {
      server.stop();
    }

    @Override
    public Map<String, Object> counts() {
      VfioUserStats stats = server.stats();
      Map<String, Object> map = new LinkedHashMap<>();
      map.put("clients", stats.sessions());
      map.put("registerAccesses", stats.accesses());
      map.put("interrupts", stats.interrupts());
      map.put("notificationsSuppressed", stats.notificationsSuppressed());
      return map;
    }

    @Override
    public Map<String, List<String>> words() {
      VfioUserStats stats = server.stats();
      Map<String, List<String>> map = new LinkedHashMap<>();
      map.put("registers", List.of(stats.accesses() + " accesses"));
      map.put(
          "interrupts",
          List.of(stats.interrupts() + " sent", stats.notificationsSuppressed() + " suppressed"));
      return map;
    }

    @Override
    public FeatureBits negotiated() {
      return server.stats().negotiated();
    }

    @Override
    public void close() {
      server.close();
    }
  }
}
