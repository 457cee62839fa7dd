// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.nio.file.Path;
import java.util.List;

/**
 * The command line of {@link DriverBench}.
 *
 * @param jvirtio the command of this project
 * @param bin the folder with blkio-bench and qemu-storage-daemon
 * @param clients who is measured
 * @param rounds how often everything is measured
 * @param seconds how long each measurement takes
 * @param warmup how long each client runs before each of its measurements
 * @param depths requests in flight
 * @param loads what blkio-bench calls --readwrite
 * @param indirect whether our driver may use indirect descriptors, which libblkio does not
 * @param serverCpu the processor of the server, or -1 for any
 * @param clientCpu the processor of whoever is measured, or -1 for any
 * @param json where to write the figures, or null
 */
record DriverBenchOptions(
    Path jvirtio,
    Path bin,
    List<Client> clients,
    int rounds,
    int seconds,
    int warmup,
    List<String> depths,
    List<String> loads,
    boolean indirect,
    int serverCpu,
    int clientCpu,
    Path json) {

  static final String USAGE =
      """
      usage: scripts/bench driver [--rounds=5] [--seconds=2] [--warmup=1] [--depths=1,32,128]
               [--loads=randread,randwrite] [--modes=event,adaptive,poll]
               [--cpus=SERVER,CLIENT] [--indirect=on|off] [--json=FILE]
      """;

  /** Who keeps requests in flight, and how it waits for them. */
  enum Client {
    /** libblkio, asleep between completions. */
    BLKIO("blkio-bench", false),
    /** Ours, asleep as well. */
    EVENT("event", false),
    /** Ours, polling for a bounded time before it sleeps. */
    ADAPTIVE("adaptive", false),
    /** libblkio, polling. */
    BLKIO_POLL("blkio-bench --poll", true),
    /** Ours, polling. */
    POLL("poll", true);

    private final String title;
    private final boolean polls;

    Client(String title, boolean polls) {
      this.title = title;
      this.polls = polls;
    }

    String title() {
      return title;
    }

    boolean polls() {
      return polls;
    }

    boolean isPeer() {
      return this == BLKIO || this == BLKIO_POLL;
    }

    /** Whom it is compared with. */
    Client peer() {
      return polls ? BLKIO_POLL : BLKIO;
    }
  }

  /**
   * Reads a command line.
   *
   * @throws IllegalArgumentException with what is wrong
   */
  static DriverBenchOptions parse(String[] args) {
    Path jvirtio = null;
    Path bin = null;
    Path json = null;
    int rounds = 5;
    int seconds = 2;
    int warmup = 1;
    int[] cpus = {-1, -1};
    boolean indirect = true;
    List<String> modes = List.of("event", "adaptive", "poll");
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
        case "--warmup" -> warmup = positive(arg, value);
        case "--indirect" -> indirect = on(arg, value);
        case "--cpus" -> cpus = cpus(value);
        case "--modes" -> modes = List.of(value.split(","));
        case "--depths" -> depths = List.of(value.split(","));
        case "--loads" -> loads = List.of(value.split(","));
        default -> throw new IllegalArgumentException("unknown option " + arg);
      }
    }
    if (jvirtio == null || bin == null) {
      throw new IllegalArgumentException(
          "--jvirtio and --bin are needed; scripts/bench gives them");
    }
    return new DriverBenchOptions(
        jvirtio,
        bin,
        clients(modes),
        rounds,
        seconds,
        warmup,
        depths,
        loads,
        indirect,
        cpus[0],
        cpus[1],
        json);
  }

  /** Whoever is compared with one of ours is measured too. */
  private static List<Client> clients(List<String> modes) {
    for (String mode : modes) {
      if (List.of(Client.values()).stream().noneMatch(c -> !c.isPeer() && c.title.equals(mode))) {
        throw new IllegalArgumentException("no mode " + mode + ": event, adaptive or poll");
      }
    }
    return List.of(Client.values()).stream()
        .filter(
            client ->
                modes.contains(client.title)
                    || client.isPeer() && modes.stream().anyMatch(m -> isPeerOf(client, m)))
        .toList();
  }

  private static boolean isPeerOf(Client peer, String mode) {
    return peer.polls == mode.equals(Client.POLL.title);
  }

  private static int[] cpus(String value) {
    String[] numbers = value.split(",");
    if (numbers.length != 2) {
      throw new IllegalArgumentException("--cpus are two numbers, of the server and of the client");
    }
    return new int[] {Integer.parseInt(numbers[0]), Integer.parseInt(numbers[1])};
  }

  private static boolean on(String arg, String value) {
    if (!value.equals("on") && !value.equals("off")) {
      throw new IllegalArgumentException(arg + " must be on or off");
    }
    return value.equals("on");
  }

  private static int positive(String arg, String value) {
    int number = Integer.parseInt(value);
    if (number < 1) {
      throw new IllegalArgumentException(arg + " must be 1 or more");
    }
    return number;
  }
}
