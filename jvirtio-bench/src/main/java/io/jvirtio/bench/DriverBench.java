// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.bench.DriverBenchOptions.Client;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The block driver end to end: {@code jvirtio bench blk} and libblkio's blkio-bench against the
 * same qemu-storage-daemon, alternating, one queue, 4 KiB requests, an image in the page cache.
 */
public final class DriverBench {
  private static final Pattern KIOPS = Pattern.compile("\"kiops\" ?: ?([0-9.]+)");

  private final DriverBenchOptions options;

  /** Thousands of requests a second, by load, depth and client, one for each round. */
  private final Map<String, List<Double>> results = new LinkedHashMap<>();

  private DriverBench(DriverBenchOptions options) {
    this.options = options;
  }

  /** Measures, and prints a table; exit code 0, 1 when something failed, 2 on wrong usage. */
  public static void main(String[] args) throws InterruptedException {
    DriverBenchOptions options;
    try {
      options = DriverBenchOptions.parse(args);
    } catch (IllegalArgumentException e) {
      System.err.println("bench: " + e.getMessage());
      System.err.print(DriverBenchOptions.USAGE);
      System.exit(2);
      return;
    }
    try {
      new DriverBench(options).run();
    } catch (IOException e) {
      System.err.println("bench: " + e.getMessage());
      System.exit(1);
    }
  }

  private void run() throws IOException, InterruptedException {
    Path folder = Files.createTempDirectory("jvirtio-bench");
    try {
      Images.fill(image(folder));
      for (int round = 0; round < options.rounds(); round++) {
        System.err.printf("bench: round %d of %d%n", round + 1, options.rounds());
        round(folder, round);
      }
    } finally {
      Images.delete(folder);
    }
    DriverReport report = new DriverReport(options, results);
    System.out.print(report.text());
    if (options.json() != null) {
      Files.writeString(options.json(), report.json());
    }
  }

  private static Path image(Path folder) {
    return folder.resolve("disk.img");
  }

  private Daemon start(Path folder) throws IOException, InterruptedException {
    Path socket = folder.resolve("disk.sock");
    // What an earlier one has left is no sign that this one listens.
    Files.deleteIfExists(socket);
    List<String> command = pinned(options.serverCpu());
    command.addAll(
        List.of(
            options.bin().resolve("qemu-storage-daemon").toString(),
            "--blockdev",
            "driver=file,node-name=d,aio=io_uring,cache.direct=off,filename=" + image(folder),
            "--export",
            "type=vhost-user-blk,id=e,node-name=d,writable=on,num-queues=1,addr.type=unix"
                + ",addr.path="
                + socket));
    return Daemon.start("qsd", command, socket, folder.resolve("qsd.log"), false);
  }

  private void round(Path folder, int round) throws IOException, InterruptedException {
    List<Client> order = new ArrayList<>(options.clients());
    // Nobody is always the first, nor always behind the same.
    Collections.rotate(order, round);
    if (round % 2 == 1) {
      Collections.reverse(order);
    }
    for (String load : options.loads()) {
      for (String depth : options.depths()) {
        for (Client client : order) {
          results
              .computeIfAbsent(DriverReport.key(load, depth, client), k -> new ArrayList<>())
              .add(measure(folder, client, load, depth));
        }
      }
    }
  }

  /** With a server of its own: one that blkio-bench leaves with requests in flight may abort. */
  private double measure(Path folder, Client client, String load, String depth)
      throws IOException, InterruptedException {
    if (!client.isPeer()) {
      try (Daemon daemon = start(folder)) {
        // Its warm-up is a part of the same process, before what it counts.
        return kiops(jvirtio(daemon, client, load, depth));
      }
    }
    try (Daemon daemon = start(folder)) {
      kiops(blkio(daemon, client, load, depth, options.warmup()));
    }
    try (Daemon daemon = start(folder)) {
      return kiops(blkio(daemon, client, load, depth, options.seconds()));
    }
  }

  /** The beginning of a command on one processor, unless the scheduler is to choose. */
  private static List<String> pinned(int cpu) {
    return cpu < 0
        ? new ArrayList<>()
        : new ArrayList<>(List.of("taskset", "-c", String.valueOf(cpu)));
  }

  private List<String> jvirtio(Daemon daemon, Client client, String load, String depth) {
    List<String> command = pinned(options.clientCpu());
    command.add(options.jvirtio().toString());
    command.addAll(List.of("bench", "blk", "--json", "--log-level=error", "--destroy-data"));
    command.add("--socket-path=" + daemon.socket());
    command.add("--warmup=" + options.warmup());
    command.addAll(load(load, depth, options.seconds()));
    if (!options.indirect()) {
      command.add("--indirect=off");
    }
    command.add(client.polls() ? "--poll" : "--mode=" + client.title());
    return command;
  }

  private List<String> blkio(Daemon daemon, Client client, String load, String depth, int seconds) {
    List<String> command = pinned(options.clientCpu());
    command.add(options.bin().resolve("blkio-bench").toString());
    command.addAll(load(load, depth, seconds));
    if (client.polls()) {
      command.add("--poll");
    }
    command.add("virtio-blk-vhost-user");
    command.add("path=" + daemon.socket());
    return command;
  }

  private static List<String> load(String load, String depth, int seconds) {
    return List.of(
        "--readwrite=" + load, "--iodepth=" + depth, "--runtime=" + seconds, "--blocksize=4096");
  }

  private static double kiops(List<String> command) throws IOException, InterruptedException {
    String output = Commands.run(command);
    Matcher found = KIOPS.matcher(output);
    if (!found.find()) {
      throw new IOException(command.getFirst() + " said: " + output.strip());
    }
    return Double.parseDouble(found.group(1));
  }
}
