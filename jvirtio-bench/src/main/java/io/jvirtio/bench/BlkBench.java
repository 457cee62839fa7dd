// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A block device end to end: libblkio's blkio-bench against {@code jvirtio blk} in its modes and
 * against qemu-storage-daemon, alternating, one queue, 4 KiB requests, images of their own in the
 * page cache.
 */
public final class BlkBench {
  private static final int IDLE_SECONDS = 3;
  private static final Pattern KIOPS = Pattern.compile("\"kiops\": ([0-9.]+)");

  private final BlkBenchOptions options;
  private final List<Daemon> daemons = new ArrayList<>();

  /** Thousands of requests a second, by load, depth and server, one for each round. */
  private final Map<String, List<Double>> results = new LinkedHashMap<>();

  private final Map<String, Map<String, Double>> processes = new LinkedHashMap<>();

  private BlkBench(BlkBenchOptions options) {
    this.options = options;
  }

  /** Measures, and prints tables; exit code 0, 1 when something failed, 2 on wrong usage. */
  public static void main(String[] args) throws InterruptedException {
    BlkBenchOptions options;
    try {
      options = BlkBenchOptions.parse(args);
    } catch (IllegalArgumentException e) {
      System.err.println("bench: " + e.getMessage());
      System.err.print(BlkBenchOptions.USAGE);
      System.exit(2);
      return;
    }
    try {
      new BlkBench(options).run();
    } catch (IOException e) {
      System.err.println("bench: " + e.getMessage());
      System.exit(1);
    }
  }

  private void run() throws IOException, InterruptedException {
    Path folder = Files.createTempDirectory("jvirtio-bench");
    try {
      for (String server : options.servers()) {
        start(server, folder);
      }
      for (int round = 1; round <= options.rounds(); round++) {
        System.err.printf("bench: round %d of %d%n", round, options.rounds());
        round();
      }
      // Before anything else can fail: what was measured so far.
      System.out.print(new BlkReport(options, results, processes).text());
      for (Daemon daemon : daemons) {
        process(daemon);
      }
    } finally {
      for (Daemon daemon : daemons) {
        daemon.close();
      }
      Images.delete(folder);
    }
    BlkReport report = new BlkReport(options, results, processes);
    System.out.print(report.processText());
    if (options.json() != null) {
      Files.writeString(options.json(), report.json());
    }
  }

  private void start(String server, Path folder) throws IOException, InterruptedException {
    Path image = folder.resolve(server + ".img");
    Path socket = folder.resolve(server + ".sock");
    Images.fill(image);
    boolean java = !server.equals(BlkBenchOptions.PEER);
    List<String> command =
        java
            ? List.of(
                options.jvirtio().toString(),
                "blk",
                "--socket-path=" + socket,
                "--blk-file=" + image,
                "--mode=" + server,
                "--num-queues=1",
                "--log-level=warning")
            : List.of(
                options.bin().resolve("qemu-storage-daemon").toString(),
                "--blockdev",
                "driver=file,node-name=d,aio=io_uring,cache.direct=off,filename=" + image,
                "--export",
                "type=vhost-user-blk,id=e,node-name=d,writable=on,num-queues=1,addr.type=unix"
                    + ",addr.path="
                    + socket);
    System.err.println("bench: starting " + server);
    Daemon daemon = Daemon.start(server, command, socket, folder.resolve(server + ".log"), java);
    daemons.add(daemon);
    for (String load : options.loads()) {
      blkioBench(daemon, load, "32", options.seconds());
      blkioBench(daemon, load, "1", options.seconds());
    }
    daemon.pause();
  }

  private void round() throws IOException, InterruptedException {
    for (String load : options.loads()) {
      for (String depth : options.depths()) {
        for (Daemon daemon : daemons) {
          daemon.resume();
          double kiops = blkioBench(daemon, load, depth, options.seconds());
          daemon.pause();
          results
              .computeIfAbsent(BlkReport.key(load, depth, daemon.name()), k -> new ArrayList<>())
              .add(kiops);
        }
      }
    }
  }

  private double blkioBench(Daemon daemon, String load, String depth, int seconds)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(options.bin().resolve("blkio-bench").toString());
    command.add("--readwrite=" + load);
    command.add("--iodepth=" + depth);
    command.add("--runtime=" + seconds);
    if (options.clientPoll()) {
      command.add("--poll");
    }
    command.add("virtio-blk-vhost-user");
    command.add("path=" + daemon.socket());
    String output = Commands.run(command);
    Matcher found = KIOPS.matcher(output);
    if (!found.find()) {
      throw new IOException("blkio-bench said: " + output.strip());
    }
    return Double.parseDouble(found.group(1));
  }

  /** What one process costs: memory, processor time while idle, garbage. */
  private void process(Daemon daemon) throws IOException, InterruptedException {
    daemon.resume();
    Map<String, Double> figures = new LinkedHashMap<>();
    if (daemon.isJava()) {
      long before = daemon.allocatedBytes();
      double kiops = blkioBench(daemon, options.loads().getFirst(), "32", options.seconds());
      double requests = kiops * 1000 * options.seconds();
      figures.put("bytes_per_request", (daemon.allocatedBytes() - before) / requests);
    }
    for (String field : List.of("VmRSS", "RssAnon", "RssFile", "RssShmem")) {
      figures.put(field + "_MiB", daemon.statusKib(field) / 1024.0);
    }
    TimeUnit.MILLISECONDS.sleep(500);
    long ticks = daemon.processorTicks();
    TimeUnit.SECONDS.sleep(IDLE_SECONDS);
    figures.put("idle_ticks_in_3s", (double) (daemon.processorTicks() - ticks));
    daemon.pause();
    processes.put(daemon.name(), figures);
  }
}
