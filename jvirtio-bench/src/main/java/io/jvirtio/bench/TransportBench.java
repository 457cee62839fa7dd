// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.StringJoiner;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The round trip of one request over each transport: our block driver, one read of 4 KiB after the
 * other, each transport in a process of its own, alternating.
 */
public final class TransportBench {
  private static final String USAGE =
      """
      usage: scripts/bench transports [--rounds=5] [--seconds=2] [--warmup=2]
               [--mode=event|adaptive|poll] [--only=NAME,...] [--json=FILE]
      """;
  private static final Pattern NS = Pattern.compile("(?m)^ns ([0-9.]+)$");

  private Path bin;
  private Path json;
  private int rounds = 5;
  private int seconds = 2;
  private int warmup = 2;
  private String mode = "adaptive";
  private List<TransportSetup> setups = List.of(TransportSetup.values());
  private final Map<TransportSetup, List<Double>> results = new EnumMap<>(TransportSetup.class);

  private TransportBench(String[] args) {
    for (String arg : args) {
      int equals = arg.indexOf('=');
      String value = arg.substring(equals + 1);
      switch (equals < 0 ? arg : arg.substring(0, equals)) {
        case "--jvirtio" -> {} // of no use here, but given to every benchmark of this kind
        case "--bin" -> bin = Path.of(value);
        case "--json" -> json = Path.of(value);
        case "--rounds" -> rounds = positive(arg, value);
        case "--seconds" -> seconds = positive(arg, value);
        case "--warmup" -> warmup = positive(arg, value);
        case "--mode" -> mode = mode(value);
        case "--only" -> setups = Arrays.stream(value.split(",")).map(this::setup).toList();
        default -> throw new IllegalArgumentException("unknown option " + arg);
      }
    }
    if (bin == null) {
      throw new IllegalArgumentException("--bin is needed; scripts/bench gives it");
    }
  }

  private static int positive(String arg, String value) {
    int number = Integer.parseInt(value);
    if (number < 1) {
      throw new IllegalArgumentException(arg + " must be 1 or more");
    }
    return number;
  }

  private static String mode(String value) {
    if (!List.of("event", "adaptive", "poll").contains(value)) {
      throw new IllegalArgumentException("no mode " + value + ": event, adaptive or poll");
    }
    return value;
  }

  private TransportSetup setup(String name) {
    try {
      return TransportSetup.valueOf(name.toUpperCase(Locale.ROOT).replace('-', '_'));
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          "no transport " + name + ": " + Arrays.toString(TransportSetup.values()), e);
    }
  }

  /** Measures, and prints a table; exit code 0, 1 when something failed, 2 on wrong usage. */
  public static void main(String[] args) throws InterruptedException {
    TransportBench bench;
    try {
      bench = new TransportBench(args);
    } catch (IllegalArgumentException e) {
      System.err.println("bench: " + e.getMessage());
      System.err.print(USAGE);
      System.exit(2);
      return;
    }
    try {
      bench.run();
    } catch (IOException e) {
      System.err.println("bench: " + e.getMessage());
      System.exit(1);
    }
  }

  private void run() throws IOException, InterruptedException {
    for (int round = 0; round < rounds; round++) {
      System.err.printf("bench: round %d of %d%n", round + 1, rounds);
      List<TransportSetup> order = new ArrayList<>(setups);
      if (round % 2 == 1) {
        Collections.reverse(order);
      }
      for (TransportSetup setup : order) {
        results.computeIfAbsent(setup, s -> new ArrayList<>()).add(measure(setup));
      }
    }
    System.out.printf(
        "read of 4 KiB, one at a time, %s mode, %d rounds of %d s: median us of the rounds"
            + " [lowest..highest]%n%n",
        mode, rounds, seconds);
    System.out.println("| transport | kind | threads | us |");
    System.out.println("| --- | --- | --- | ---: |");
    for (TransportSetup setup : setups) {
      System.out.printf(
          Locale.ROOT,
          "| %s | %s [%s..%s] |%n",
          setup.title(),
          micros(median(results.get(setup))),
          micros(Collections.min(results.get(setup))),
          micros(Collections.max(results.get(setup))));
    }
    if (json != null) {
      Files.writeString(json, json());
    }
  }

  private double measure(TransportSetup setup) throws IOException, InterruptedException {
    Path qemu = bin.resolve("qemu-system-x86_64");
    if (setup.needsQemu() && !Files.isExecutable(qemu)) {
      throw new IOException("no " + qemu + ": run scripts/lab full");
    }
    List<String> command =
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            // As the start script has it.
            "-XX:+UseSerialGC",
            "-Xmx256m",
            "-XX:-UsePerfData",
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            TransportLane.class.getName(),
            setup.name(),
            mode,
            Integer.toString(warmup),
            Integer.toString(seconds),
            qemu.toString());
    String output = Commands.run(command);
    Matcher found = NS.matcher(output);
    if (!found.find()) {
      throw new IOException(setup + " said: " + output.strip());
    }
    return Double.parseDouble(found.group(1));
  }

  private static String micros(double nanos) {
    return String.format(Locale.ROOT, nanos < 10_000 ? "%.2f" : "%.1f", nanos / 1000);
  }

  private static double median(List<Double> values) {
    double[] sorted = values.stream().mapToDouble(d -> d).sorted().toArray();
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** One object: the nanoseconds of every round. */
  private String json() {
    StringJoiner rows = new StringJoiner(",\n    ", "[\n    ", "\n  ]");
    for (TransportSetup setup : setups) {
      rows.add(
          String.format(
              Locale.ROOT,
              "{\"transport\": \"%s\", \"nanos\": %s}",
              setup.name().toLowerCase(Locale.ROOT).replace('_', '-'),
              results.get(setup)));
    }
    return "{\n  \"mode\": \"" + mode + "\",\n  \"runs\": " + rows + "\n}\n";
  }
}
