// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What to measure.
 *
 * @param jvirtio the start script
 * @param bin the folder of the lab with blkio-bench and qemu-storage-daemon
 * @param servers names: event, adaptive, poll (modes of jvirtio blk), and qsd
 * @param rounds how often everything is measured; the medians count
 * @param seconds of each measurement
 * @param depths requests in flight
 * @param loads what blkio-bench calls --readwrite
 * @param clientPoll whether blkio-bench polls too
 * @param json where to write the figures, or null
 */
record BlkBenchOptions(
    Path jvirtio,
    Path bin,
    List<String> servers,
    int rounds,
    int seconds,
    List<String> depths,
    List<String> loads,
    boolean clientPoll,
    Path json) {

  static final String PEER = "qsd";
  static final String USAGE =
      """
      usage: scripts/bench blk [--rounds=3] [--seconds=3] [--depths=1,32,128]
               [--loads=randread,randwrite] [--servers=event,adaptive,poll,qsd]
               [--client-poll] [--json=FILE]
      """;

  /**
   * Reads a command line.
   *
   * @throws IllegalArgumentException with what is wrong
   */
  static BlkBenchOptions parse(String[] args) {
    Path jvirtio = null;
    Path bin = null;
    Path json = null;
    int rounds = 3;
    int seconds = 3;
    boolean clientPoll = false;
    List<String> servers = List.of("event", "adaptive", "poll", PEER);
    List<String> depths = List.of("1", "32", "128");
    List<String> loads = List.of("randread", "randwrite");
    for (String arg : args) {
      int equals = arg.indexOf('=');
      String value = arg.substring(equals + 1);
      switch (equals < 0 ? arg : arg.substring(0, equals)) {
        case "--jvirtio" -> jvirtio = Path.of(value);
        case "--bin" -> bin = Path.of(value);
        case "--json" -> json = Path.of(value);
        case "--rounds" -> rounds = positive(arg, value);
        case "--seconds" -> seconds = positive(arg, value);
        case "--client-poll" -> clientPoll = true;
        case "--servers" -> servers = withPeer(value);
        case "--depths" -> depths = List.of(value.split(","));
        case "--loads" -> loads = List.of(value.split(","));
        default -> throw new IllegalArgumentException("unknown option " + arg);
      }
    }
    if (jvirtio == null || bin == null) {
      throw new IllegalArgumentException(
          "--jvirtio and --bin are needed; scripts/bench gives them");
    }
    return new BlkBenchOptions(
        jvirtio, bin, servers, rounds, seconds, depths, loads, clientPoll, json);
  }

  private static int positive(String arg, String value) {
    int number = Integer.parseInt(value);
    if (number < 1) {
      throw new IllegalArgumentException(arg + " must be 1 or more");
    }
    return number;
  }

  /** The peer is always measured: everything else is shown as a ratio to it. */
  private static List<String> withPeer(String value) {
    List<String> servers = new ArrayList<>(List.of(value.split(",")));
    if (!servers.contains(PEER)) {
      servers.add(PEER);
    }
    return servers;
  }
}
